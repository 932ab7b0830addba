// Llama (Touvron et al. 2023; Dubey et al. 2024) and everything of its class: Yi, SmolLM2, TinyLlama, DeepSeek LLM.
// Biases where the checkpoint's config asks for them.
#pragma once

#include "models/model.h"

namespace shardlora {

std::unique_ptr<Model> make_llama(Device& device, const ModelConfig& config, const BaseFormats& base,
                                  const LoraConfig* adapter, DType dtype);

}  // namespace shardlora
