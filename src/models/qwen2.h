// Qwen2 and 2.5 (Yang et al. 2024): a bias on q, k and v, whatever config.json says.
#pragma once

#include "models/model.h"

namespace shardlora {

std::unique_ptr<Model> make_qwen2(Device& device, const ModelConfig& config, const BaseFormats& base,
                                  const LoraConfig* adapter, DType dtype);

}  // namespace shardlora
