// Rows of a .csv or .tsv file (RFC 4180): the first record names the columns, every other one becomes an object of
// texts. Quoted fields may hold separators, line ends and doubled quotes; a quote inside an unquoted field is a
// character like any other. Columns without a name at the front are an index that pandas wrote and are passed over;
// those behind (a spreadsheet's) have to be empty.
#pragma once

#include <vector>

#include "data/rows/byte_reader.h"
#include "data/rows/row_file.h"

namespace shardlora {

class CsvRows final : public RowFile {
 public:
  CsvRows(const std::filesystem::path& path, char separator);
  bool next(RawRow& row) override;
  nlohmann::ordered_json parse(const RawRow& row) const override;

 private:
  // Where in a field the reading is: kClosed is behind a quote that ends it, or is the first of a doubled one.
  enum class Place : unsigned char { kBegin, kPlain, kQuoted, kClosed };
  Place after(Place place, char byte) const;
  std::vector<std::string> fields_of(const std::string& record) const;
  ByteReader bytes_;
  char separator_;
  std::vector<std::string> columns_;
  std::size_t index_columns_ = 0;
};

}  // namespace shardlora
