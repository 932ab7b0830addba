// The added tokens of a Hugging Face folder: those of tokenizer.json, and those that only the files beside it name,
// with the ids that transformers gives them.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "data/tokenizer/parts.h"

namespace shardlora {

// `parts` has its vocabulary and its normalizer. A token with two ids, an id with two tokens, and a new token whose id
// is not the next free one (transformers would number it otherwise) are Errors.
void add_tokens_of_folder(const nlohmann::json& tokenizer_json, const std::filesystem::path& folder,
                          TokenizerParts& parts);

}  // namespace shardlora
