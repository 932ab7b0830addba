#include "data/rows/text_rows.h"

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/utf8.h"
#include "data/rows/bad_rows.h"

namespace shardlora {

bool TextRows::next(RawRow& row) {
  if (read_) return false;
  read_ = true;
  const File file(path_);
  if (file.size() > kMaxRow)
    fail("{}: a text of more than {} MB; cut it into several files (split -C 32m) in one folder", path_.string(),
         kMaxRow >> 20);
  row = {1, read_text(path_, kMaxRow)};
  if (row.text.starts_with("\xEF\xBB\xBF")) row.text.erase(0, 3);
  std::erase(row.text, '\r');
  return row.text.find_first_not_of(" \t\n") != std::string::npos;
}

nlohmann::ordered_json TextRows::parse(const RawRow& row) const {
  std::int64_t line = 1;
  for (std::size_t at = 0; at < row.text.size();) {
    const Character c = character_at(row.text, at);
    if (!c.valid) bad_row("line {} is not UTF-8; save the file as UTF-8", line);
    if (row.text[at] == '\n') ++line;
    at += c.length;
  }
  return {{"text", row.text}};
}

}  // namespace shardlora
