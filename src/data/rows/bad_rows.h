// What is wrong with a row is said with file and line and the row is left out; after a few such rows the whole reading
// stops, since then the file is not what it should be.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace shardlora {

// What is wrong with one row, without file and line.
class RowError : public Error {
 public:
  using Error::Error;
};

template <typename... Args>
[[noreturn]] void bad_row(fmt::format_string<Args...> format, Args&&... args) {
  throw RowError(fmt::format(format, std::forward<Args>(args)...));
}

// Logs bad rows; the 10th ends the reading with an Error.
class BadRows {
 public:
  struct Reason {
    std::string source;
    std::int64_t line;
    std::string reason;
  };
  static constexpr std::int64_t kLimit = 10;
  void add(const std::string& source, std::int64_t line, const std::string& reason);
  std::int64_t count() const { return static_cast<std::int64_t>(rows_.size()); }
  const std::vector<Reason>& rows() const { return rows_; }

 private:
  std::vector<Reason> rows_;
};

}  // namespace shardlora
