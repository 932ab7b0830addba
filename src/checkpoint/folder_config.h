// The numbers of a model from a Hugging Face folder's config.json, in the keys of transformers 4 and 5. What this
// version cannot compute (experts, unknown rotary scalings, quantised weights) is an Error that names the key: a model
// must never run as something that it is not.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "models/config.h"

namespace shardlora {

nlohmann::json read_config_json(const std::filesystem::path& path);

// `what` opens errors. has_own_head: the files have an lm_head.weight, which decides where the key is missing.
ModelConfig config_of(const nlohmann::json& json, const std::string& what, bool has_own_head);

}  // namespace shardlora
