// What is wrong with a configuration. A reader goes on behind a wrong value, so that one run tells of all of them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace shardlora {

// The text of one problem is that problem; several stand below each other, in the order of their lines.
class ConfigError : public Error {
 public:
  explicit ConfigError(std::vector<std::string> problems);
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::vector<std::string> problems_;
};

class ConfigProblems {
 public:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    problems_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  // False where `read` throws an Error: it is a problem then.
  template <typename Read>
  bool attempt(const Read& read) {
    try {
      read();
      return true;
    } catch (const ConfigError& several) {
      problems_.insert(problems_.end(), several.problems().begin(), several.problems().end());
    } catch (const Error& one) {
      problems_.emplace_back(one.what());
    }
    return false;
  }
  // Throws them, if there are any.
  void raise() const;

 private:
  std::vector<std::string> problems_;
};

}  // namespace shardlora
