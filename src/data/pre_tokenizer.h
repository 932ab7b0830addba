// Cuts text into the words that BPE may not merge across, by the pattern that a vocabulary was trained with.
//
// The patterns run on PCRE2, under match and depth limits, over a copy of the text in which every character is one
// ASCII byte that stands for its class: PCRE2 then needs no Unicode tables of its own (they differ from those of
// `tokenizers`), and matching is fast. ASCII stands for itself.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace shardlora {

// The names that PreTokenizer::named knows, as a list for error texts.
std::string known_pre_tokenizers();

class PreTokenizer {
 public:
  // `name` as in `tokenizer.ggml.pre`; an unknown one is an Error that lists the known ones. `what` opens its text.
  static PreTokenizer named(std::string_view name, std::string_view what);

  // Calls word(begin, end) for one word after the other; together they are the text. Text that is not UTF-8 is an
  // Error.
  void split(std::string_view text, const std::function<void(std::size_t, std::size_t)>& word) const;

 private:
  struct Pattern;
  explicit PreTokenizer(std::shared_ptr<const Pattern> pattern) : pattern_(std::move(pattern)) {}
  std::shared_ptr<const Pattern> pattern_;  // compiled once, read by all copies
};

}  // namespace shardlora
