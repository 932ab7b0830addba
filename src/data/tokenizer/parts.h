// What a tokenizer is put together from, as the two kinds of model files give it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/tokenizer/added_tokens.h"
#include "data/tokenizer/bpe.h"
#include "data/tokenizer/decoder.h"
#include "data/tokenizer/normalizer.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "io/gguf.h"

namespace shardlora {

// The tokens that have a part to play in a text.
struct SpecialIds {
  std::optional<std::int32_t> eos, bos, bos_to_add;
  std::vector<std::int32_t> ends;
};

struct TokenizerParts {
  std::string what;  // the file, for errors
  std::shared_ptr<Vocabulary> vocabulary = std::make_shared<Vocabulary>();
  std::vector<std::uint8_t> usable;   // [id]: may come out of letters
  std::vector<std::uint8_t> control;  // [id]
  std::vector<std::uint8_t> added;    // [id]: stands for its own spelling
  std::vector<Bpe::Merge> merges;
  BpeOptions options;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Decoder decoder;
  AddedTokens raw, normalized;  // found in the text as it is, and after the normalizer
  SpecialIds special;
  std::map<std::string, std::string> chat_templates;
};

TokenizerParts tokenizer_parts(const GgufFile& file);
// tokenizer.json, and of what lies beside it tokenizer_config.json, special_tokens_map.json, generation_config.json,
// config.json, chat_template.jinja and additional_chat_templates/*.jinja.
TokenizerParts tokenizer_parts_of_folder(const std::filesystem::path& folder);

// The id of a token in the model's own vocabulary.
std::int32_t id_in_merge(const TokenizerParts& parts, std::size_t merge, const std::string& token);

}  // namespace shardlora
