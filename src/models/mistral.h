// Mistral (Jiang et al. 2023): a Llama whose tokens may see a window of the row only. GGUF files call it llama.
#pragma once

#include "models/model.h"

namespace shardlora {

std::unique_ptr<Model> make_mistral(Device& device, const ModelConfig& config, const BaseFormats& base,
                                    const LoraConfig* adapter, DType dtype);

}  // namespace shardlora
