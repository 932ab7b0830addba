// How the names in `tokenizer.ggml.pre` cut text. A GGUF file has only the name; what it means is that family's
// tokenizer.json.
#pragma once

#include <string_view>
#include <vector>

#include "data/tokenizer/normalizer.h"
#include "data/tokenizer/pre_tokenizer.h"

namespace shardlora {

struct GgufPreType {
  std::vector<std::string_view> names;
  // Regular expressions, each of which isolates its matches in what the ones before left over or cut.
  std::vector<const char*> patterns;
  bool individual_digits = false;  // before the patterns
  bool nfc = false;
  bool ignore_merges = false;
  bool adds_bos = false;  // where the file does not say

  void add_to(Normalizer& normalizer, PreTokenizer& pre_tokenizer) const;
};

// An unknown name is an Error that lists the known ones.
const GgufPreType& gguf_pre_type(std::string_view name, std::string_view what);

}  // namespace shardlora
