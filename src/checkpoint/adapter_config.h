// adapter_config.json, PEFT's description of an adapter.
#pragma once

#include <string>
#include <string_view>

#include "checkpoint/adapter.h"

namespace shardlora {

// Fills all of an adapter but its tensors. `what` names the file in errors. target_modules and target_pattern stay
// empty where the file has "all-linear".
Adapter parse_adapter_config(std::string_view json, std::string_view what);

// The keys that PEFT of all versions, vLLM and llama.cpp take: PEFT warns of and drops what it does not know.
std::string adapter_config_json(const AdapterHead& adapter);

}  // namespace shardlora
