// Regular expressions on short names, in the syntax that Python's re and PCRE2 share. Matches begin where the text
// does.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace shardlora {

class Regex {
 public:
  // `what` opens the Error of a pattern that is none.
  Regex(std::string_view pattern, std::string_view what);

  bool matches(std::string_view text) const;  // all of it
  // What the group of this name, which the pattern has, holds after a match of a beginning of `text`.
  std::optional<std::string> group(std::string_view text, const char* name) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace shardlora
