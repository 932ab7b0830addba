// The decoder of Llama (Touvron et al. 2023), which many architectures share: RMSNorm, rotary embedding, grouped-query
// attention, SwiGLU. Each is a file of its own that says what differs, and a row of models/registry.cpp.
#pragma once

#include "models/decoder_units.h"

namespace shardlora {

std::unique_ptr<Model> make_decoder(Device& device, const ModelConfig& config, const DecoderTraits& traits,
                                    const BaseFormats& base, const LoraConfig* adapter, DType dtype);

}  // namespace shardlora
