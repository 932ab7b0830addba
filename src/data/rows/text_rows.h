// A plain text file as one row, {"text": all of it}.
#pragma once

#include "data/rows/row_file.h"

namespace shardlora {

class TextRows : public RowFile {
 public:
  explicit TextRows(std::filesystem::path path) : path_(std::move(path)) {}
  bool next(RawRow& row) override;
  nlohmann::ordered_json parse(const RawRow& row) const override;

 private:
  std::filesystem::path path_;
  bool read_ = false;
};

}  // namespace shardlora
