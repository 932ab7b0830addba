// Sets of code points, with those that patterns speak of by name. The tables are what the `tokenizers` package sees:
// its Unicode version is newer than PCRE2's, and the two differ in what white space is.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace shardlora {

class CodePoints {
 public:
  struct Range {
    std::uint32_t first, last;
    bool operator==(const Range&) const = default;
  };
  static constexpr std::uint32_t kCount = 0x110000;

  CodePoints() = default;
  CodePoints(std::uint32_t first, std::uint32_t last) : ranges_{{first, last}} {}

  // L, Lu, a script, a word for a category ("Letter"); letter case, spaces, '_' and '-' do not matter.
  // nullptr where the name is not known.
  static const CodePoints* named(std::string_view name);
  static const CodePoints& white_space();  // \s
  static const CodePoints& word();         // \w
  static const CodePoints& plain_word();   // \w of the Whitespace pre-tokenizer and of added tokens (another library's)
  static const CodePoints& numeric();      // what the Digits pre-tokenizer cuts at: \p{N} and a few newer ones
  static const CodePoints& punctuation();  // what the Punctuation pre-tokenizer cuts at
  static const CodePoints& normalised();   // what has a decomposition or a combining class in its normalisation forms

  bool contains(std::uint32_t code_point) const;
  const std::vector<Range>& ranges() const { return ranges_; }  // ascending, with gaps between them

  CodePoints complement() const;
  // Everything that differs from a member only in letter case.
  CodePoints with_other_cases() const;
  friend CodePoints operator|(const CodePoints& a, const CodePoints& b);
  friend CodePoints operator&(const CodePoints& a, const CodePoints& b);
  bool operator==(const CodePoints&) const = default;

 private:
  explicit CodePoints(std::vector<Range> ranges);
  std::vector<Range> ranges_;
};

}  // namespace shardlora
