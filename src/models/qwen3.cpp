#include "models/qwen3.h"

#include "models/decoder.h"

namespace shardlora {

std::unique_ptr<Model> make_qwen3(Device& device, const ModelConfig& config, const BaseFormats& base,
                                  const LoraConfig* adapter, DType dtype) {
  return make_decoder(device, config, {.qk_norm = true}, base, adapter, dtype);
}

}  // namespace shardlora
