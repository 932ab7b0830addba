// What a tokenizer file looks for in text: a regular expression, a literal string or one character of a set. Patterns
// come from files of others, so matching runs under limits: one that takes too long on a text is an Error.
// Immutable; any number of threads may search at once.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "data/tokenizer/code_points.h"

namespace shardlora {

class Pattern {
 public:
  // `what` opens the texts of errors: file and component.
  static Pattern regex(std::string_view regex, std::string_view what);
  static Pattern literal(std::string text);
  static Pattern one_of(const CodePoints& set);

  // Calls found(begin, end) for every match from left to right, none overlapping; an empty match is never where the
  // last one ended, and an empty text has none. `text` must be UTF-8.
  void find_all(std::string_view text, const std::function<void(std::size_t, std::size_t)>& found) const;

 private:
  struct Compiled;
  Pattern() = default;
  std::shared_ptr<const Compiled> compiled_;  // where it is not a literal
  std::string literal_;
};

}  // namespace shardlora
