#include <string_view>

#include "data/rows/bad_rows.h"
#include "data/rows/json_rows.h"
#include "io/json.h"

namespace shardlora {
namespace {

bool is_space(int byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

}  // namespace

nlohmann::ordered_json JsonRows::parse(const RawRow& row) const {
  try {
    return parse_ordered_json(row.text, "not valid JSON");
  } catch (const Error& error) {
    throw RowError(error.what());
  }
}

void JsonRows::too_long(std::int64_t line) const {
  fail("{}:{}: a row of more than {} MB; is this a file of rows? If it is, cut this one into several",
       bytes_.path().string(), line, kMaxRow >> 20);
}

void JsonRows::pass_spaces() {
  while (is_space(bytes_.peek())) bytes_.take();
}

bool JsonLines::next(RawRow& row) {
  while (true) {
    row.line = bytes_.line();
    row.text.clear();
    if (!bytes_.take_line(row.text, kMaxRow + 1)) return false;
    if (row.text.size() > kMaxRow) too_long(row.line);
    if (row.text.ends_with('\r')) row.text.pop_back();
    if (row.text.find_first_not_of(" \t") != std::string::npos) return true;
  }
}

JsonValues::JsonValues(const std::filesystem::path& path) : JsonRows(path) {
  pass_spaces();
  if (bytes_.peek() != '[') return;
  bytes_.take();
  in_list_ = true;
}

bool JsonValues::next(RawRow& row) {
  const std::string path = bytes_.path().string();
  if (ended_) return false;
  pass_spaces();
  if (!in_list_) {
    if (bytes_.peek() == ByteReader::kEnd) return false;
    take_value(row);
    return true;
  }
  const bool empty = rows_ == 0 && bytes_.peek() == ']';
  if (!empty) {
    take_value(row);
    ++rows_;
    pass_spaces();
  }
  const int after = bytes_.peek();
  if (after == ByteReader::kEnd)
    fail("{}:{}: the list has no end; the file is cut off, get it again", path, bytes_.line());
  if (after != ',' && after != ']')
    fail("{}:{}: expected a comma or the end of the list after row {}, got '{}'", path, bytes_.line(), rows_,
         static_cast<char>(after));
  bytes_.take();
  if (after == ']') {
    ended_ = true;
    pass_spaces();
    if (bytes_.peek() != ByteReader::kEnd) fail("{}:{}: more text after the end of the list", path, bytes_.line());
  }
  return !empty;
}

// One value: an object or list to its closing bracket, anything else to the next comma, bracket or space.
void JsonValues::take_value(RawRow& row) {
  row.line = bytes_.line();
  row.text.clear();
  if (const int first = bytes_.peek(); first == ',' || first == ']' || first == '}')
    fail("{}:{}: expected a row, got '{}'", bytes_.path().string(), row.line, static_cast<char>(first));
  int depth = 0;
  bool quoted = false;
  while (true) {
    const int byte = bytes_.peek();
    if (byte == ByteReader::kEnd && depth == 0 && !quoted) return;
    if (byte == ByteReader::kEnd)
      fail("{}:{}: the file ends inside this row; it is cut off or a bracket or quote is missing, get it again",
           bytes_.path().string(), row.line);
    if (depth == 0 && !quoted && !row.text.empty() && (is_space(byte) || byte == ',' || byte == ']')) return;
    row.text += static_cast<char>(bytes_.take());
    if (row.text.size() > kMaxRow) too_long(row.line);
    if (quoted) {
      if (byte == '\\' && bytes_.peek() != ByteReader::kEnd) row.text += static_cast<char>(bytes_.take());
      quoted = byte != '"';
    } else if (byte == '"') {
      quoted = true;
    } else if (byte == '{' || byte == '[') {
      ++depth;
    } else if ((byte == '}' || byte == ']') && --depth <= 0) {
      return;
    }
  }
}

}  // namespace shardlora
