#include "data/rows/csv_rows.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/utf8.h"
#include "data/rows/bad_rows.h"

namespace shardlora {

CsvRows::CsvRows(const std::filesystem::path& path, char separator) : bytes_(path), separator_(separator) {
  RawRow header;
  if (!CsvRows::next(header)) return;
  try {
    columns_ = fields_of(header.text);
  } catch (const RowError& error) {
    fail("{}:{}: the line with the names of the columns: {}", path.string(), header.line, error.what());
  }
  while (index_columns_ < columns_.size() && columns_[index_columns_].empty()) ++index_columns_;
  for (auto name = columns_.begin(); name != columns_.end(); ++name) {
    if (!name->empty() && std::find(columns_.begin(), name, *name) != name)
      fail("{}:{}: two columns are named \"{}\"", path.string(), header.line, *name);
  }
}

bool CsvRows::next(RawRow& row) {
  row.text.clear();
  while (bytes_.peek() == '\n' || bytes_.peek() == '\r') bytes_.take();  // empty lines
  if (bytes_.peek() == ByteReader::kEnd) return false;
  row.line = bytes_.line();
  Place place = Place::kBegin;
  while (bytes_.peek() != ByteReader::kEnd && (place == Place::kQuoted || bytes_.peek() != '\n')) {
    row.text += static_cast<char>(bytes_.take());
    place = after(place, row.text.back());
    if (row.text.size() > kMaxRow)
      fail("{}:{}: a row of more than {} MB; is a quote that opens here never closed?", bytes_.path().string(),
           row.line, kMaxRow >> 20);
  }
  if (place == Place::kQuoted)
    fail("{}:{}: a quote that opens in this row is never closed", bytes_.path().string(), row.line);
  bytes_.take();
  if (row.text.ends_with('\r')) row.text.pop_back();
  return true;
}

CsvRows::Place CsvRows::after(Place place, char byte) const {
  if (place == Place::kQuoted) return byte == '"' ? Place::kClosed : Place::kQuoted;
  if (byte == separator_) return Place::kBegin;
  return byte == '"' && place != Place::kPlain ? Place::kQuoted : Place::kPlain;
}

std::vector<std::string> CsvRows::fields_of(const std::string& record) const {
  for (std::size_t at = 0; at < record.size();) {
    const Character c = character_at(record, at);
    if (!c.valid) bad_row("byte {} is not UTF-8; save the file as UTF-8", at);
    at += c.length;
  }
  std::vector<std::string> fields(1);
  Place place = Place::kBegin;
  for (const char byte : record) {
    const Place before = std::exchange(place, after(place, byte));
    if (place == Place::kBegin)
      fields.emplace_back();
    else if (before == Place::kClosed && place == Place::kPlain)
      bad_row("text after the closing quote of field {}; a quote inside quotes is written twice", fields.size());
    else if (place == Place::kPlain || (before == Place::kQuoted && place == Place::kQuoted) ||
             (before == Place::kClosed && place == Place::kQuoted))
      fields.back() += byte;
  }
  return fields;
}

nlohmann::ordered_json CsvRows::parse(const RawRow& row) const {
  const std::vector<std::string> fields = fields_of(row.text);
  if (fields.size() != columns_.size())
    bad_row("{} fields, but the first line names {} columns", fields.size(), columns_.size());
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (std::size_t i = index_columns_; i < fields.size(); ++i) {
    if (!columns_[i].empty())
      json[columns_[i]] = fields[i];
    else if (!fields[i].empty())
      bad_row("column {} holds \"{}\" and has no name; name it in the first line", i + 1, fields[i].substr(0, 40));
  }
  return json;
}

}  // namespace shardlora
