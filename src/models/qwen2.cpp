#include "models/qwen2.h"

#include "models/decoder.h"

namespace shardlora {

std::unique_ptr<Model> make_qwen2(Device& device, const ModelConfig& config, const BaseFormats& base,
                                  const LoraConfig* adapter, DType dtype) {
  ModelConfig biased = config;
  biased.qkv_bias = true;
  return make_decoder(device, biased, {}, base, adapter, dtype);
}

}  // namespace shardlora
