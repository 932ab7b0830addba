// The numbers of a model from GGUF metadata. What this version cannot compute (experts, unknown rotary scalings)
// is an Error that names the key: a model must never run as something that it is not.
#pragma once

#include "io/gguf.h"
#include "models/config.h"

namespace shardlora {

// The tensor of the frequencies' divisors; no parameter of a model, but a number of its configuration.
inline constexpr const char* kRopeDivisors = "rope_freqs.weight";

ModelConfig config_of(const GgufFile& file);

}  // namespace shardlora
