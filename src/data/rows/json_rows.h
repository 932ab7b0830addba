// JSON rows, one a line or as the elements of a list.
#pragma once

#include "data/rows/byte_reader.h"
#include "data/rows/row_file.h"

namespace shardlora {

class JsonRows : public RowFile {
 public:
  explicit JsonRows(const std::filesystem::path& path) : bytes_(path) {}
  nlohmann::ordered_json parse(const RawRow& row) const override;

 protected:
  [[noreturn]] void too_long(std::int64_t line) const;
  void pass_spaces();
  ByteReader bytes_;
};

// One row a line, whatever is on it: a damaged line spoils no other one. Empty lines are passed over.
class JsonLines : public JsonRows {
 public:
  using JsonRows::JsonRows;
  bool next(RawRow& row) override;
};

// The elements of one list, or values one after the other that may take several lines each. Only brackets and quotes
// are looked at, so a list of any size is read element by element.
class JsonValues : public JsonRows {
 public:
  explicit JsonValues(const std::filesystem::path& path);
  bool next(RawRow& row) override;

 private:
  void take_value(RawRow& row);
  bool in_list_ = false, ended_ = false;
  std::int64_t rows_ = 0;
};

}  // namespace shardlora
