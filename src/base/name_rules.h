// Values for modules by the ends of their names, as PEFT's rank_pattern has them: regular expressions that match from a
// name's start or from behind a dot to its end. The first that matches counts.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "base/regex.h"

namespace shardlora {

template <typename T>
class NameRules {
 public:
  // `what` opens the Error of a pattern that is none.
  NameRules(const std::vector<std::pair<std::string, T>>& patterns, const char* what) {
    for (const auto& [pattern, value] : patterns) {
      const Regex as_written(pattern, what);  // its Error shows what the user wrote
      rules_.emplace_back(Regex(fmt::format(R"((.*\.)?({})$)", pattern), what), value);
    }
  }
  // Null: no rule is for it.
  const T* find(const std::string& name) const {
    for (const auto& [regex, value] : rules_)
      if (regex.matches(name)) return &value;
    return nullptr;
  }

 private:
  std::vector<std::pair<Regex, T>> rules_;
};

}  // namespace shardlora
