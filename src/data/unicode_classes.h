// The character classes that pre-tokenizer patterns speak of, exactly as the `tokenizers` package sees them: its
// Unicode version is newer than PCRE2's, and the two differ in what white space is.
#pragma once

#include <cstdint>

namespace shardlora {

enum UnicodeClass : std::uint8_t {
  kOther = 0,
  kLetter = 1,   // \p{L}
  kNumber = 2,   // \p{N}
  kSpace = 4,    // \s
  kNumeric = 8,  // what the Digits pre-tokenizer isolates: \p{N} and a few newer ones
};

// The classes of a code point, or-ed.
std::uint8_t classes_of(std::uint32_t code_point);

}  // namespace shardlora
