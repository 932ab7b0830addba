// Qwen3 (Yang et al. 2025): RMSNorm over every head of q and k before they turn, one weight for all heads.
#pragma once

#include "models/model.h"

namespace shardlora {

std::unique_ptr<Model> make_qwen3(Device& device, const ModelConfig& config, const BaseFormats& base,
                                  const LoraConfig* adapter, DType dtype);

}  // namespace shardlora
