// The numbers of a model from GGUF metadata. What this version cannot compute (rotary scaling, experts, sliding
// windows) is an Error that names the key: a model must never run as something that it is not.
#pragma once

#include <span>
#include <string>

#include "io/gguf.h"
#include "models/config.h"

namespace shardlora {

// `known`: architectures that can be built.
ModelConfig config_of(const GgufFile& file, std::span<const std::string> known);

}  // namespace shardlora
