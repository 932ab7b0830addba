// Rows of a JSONL file: one JSON object a line with `messages` as OpenAI has them. What is wrong with a row is said
// with file and line and the row is left out; after a few such rows the whole reading stops, since then the file is not
// what it should be.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"

namespace shardlora {

struct Row {
  std::string source;
  std::int64_t line = 0;        // from 1
  nlohmann::ordered_json json;  // an object whose "messages" are checked: roles, contents, an assistant turn
};

// What is wrong with one row, without file and line.
class RowError : public Error {
 public:
  using Error::Error;
};

// Logs bad rows; the 10th ends the reading with an Error.
class BadRows {
 public:
  void add(const std::string& source, std::int64_t line, const std::string& reason);
  std::int64_t count() const { return count_; }

 private:
  static constexpr std::int64_t kLimit = 10;
  std::int64_t count_ = 0;
};

// Calls `visit` with every good row, in order; a RowError that it throws makes the row a bad one. Empty lines are
// passed over; a file without rows, or one with a line over 64 MB, is an Error. Returns the number of rows, bad ones
// included.
std::int64_t for_each_row(const std::string& path, BadRows& bad, const std::function<void(Row&&)>& visit);

}  // namespace shardlora
