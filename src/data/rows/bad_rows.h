// What is wrong with a row is said with file and line and the row is left out; where there are many such rows the whole
// reading stops, since then the file is not what it should be.
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

// Logs bad rows. From the 10th on, one that makes them more than 1 % of the rows read so far ends the reading with an
// Error: large files that people share have a few empty answers.
class BadRows {
 public:
  struct Reason {
    std::string source;
    std::int64_t line;
    std::string reason;
  };
  static constexpr std::int64_t kLimit = 10, kRowsForOne = 100;
  void count_read(std::int64_t rows) { read_ += rows; }  // good and bad ones, before the bad ones are added
  void add(const std::string& source, std::int64_t line, const std::string& reason);
  std::int64_t count() const { return static_cast<std::int64_t>(rows_.size()); }
  const std::vector<Reason>& rows() const { return rows_; }

 private:
  std::vector<Reason> rows_;
  std::int64_t read_ = 0;
};

}  // namespace shardlora
