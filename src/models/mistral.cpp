#include "models/mistral.h"

#include "models/decoder.h"

namespace shardlora {

std::unique_ptr<Model> make_mistral(Device& device, const ModelConfig& config, const BaseFormats& base,
                                    const LoraConfig* adapter, DType dtype) {
  return make_decoder(device, config, {.gguf_rotary_pairs = true}, base, adapter, dtype);
}

}  // namespace shardlora
