// A pattern over Unicode, rewritten as a pattern over bytes. Two code points between which no part of the pattern tells
// apart get the same byte, so PCRE2 matches a text of one byte a character: it needs no Unicode tables of its own, and
// is fast. The syntax read is Oniguruma's (with Ruby's meanings of ^, $ and {n}+), as `tokenizers` uses it, as far as
// patterns of tokenizers go; what is not known is an Error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/code_points.h"

namespace shardlora {

struct RegexAlphabet {
  static constexpr std::size_t kMaxPattern = 32768;  // bytes

  std::string pattern;              // for PCRE2, over bytes
  std::vector<std::uint8_t> bytes;  // [code point]

  // `what` opens the texts of errors: file and component.
  static RegexAlphabet of(std::string_view regex, std::string_view what);
  // The pattern that matches any one member.
  static RegexAlphabet of(const CodePoints& set);
};

}  // namespace shardlora
