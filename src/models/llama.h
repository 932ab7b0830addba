// Llama (Touvron et al. 2023) and everything shaped like it: RMSNorm, rotary embedding, grouped-query attention,
// SwiGLU.
#pragma once

#include "models/model.h"

namespace shardlora {

std::unique_ptr<Model> make_llama(Device& device, const ModelConfig& config, const BaseFormats& base,
                                  const LoraConfig* adapter, DType dtype);

}  // namespace shardlora
