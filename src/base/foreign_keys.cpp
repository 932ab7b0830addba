#include "base/foreign_keys.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/config_fields.h"

namespace shardlora {
namespace {

bool asks_for_nothing(const ConfigNode& value, const std::vector<std::string>& off) {
  switch (value.kind) {
    case ConfigNode::Kind::kNull: return true;
    case ConfigNode::Kind::kScalar:
      return std::any_of(off.begin(), off.end(), [&](const std::string& word) {
        if (word.starts_with('*')) return value.text.ends_with(std::string_view(word).substr(1));
        return value.text == word || (bool_of(word) && bool_of(word) == bool_of(value.text));
      });
    case ConfigNode::Kind::kSequence:
      return std::all_of(value.items.begin(), value.items.end(),
                         [&](const ConfigNode& item) { return asks_for_nothing(item, off); });
    case ConfigNode::Kind::kMapping: return value.members.empty();
  }
  return false;
}

}  // namespace

std::vector<std::string> blank_separated(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (end > begin) words.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

const ForeignKeys* find_foreign(ForeignTable table, std::string_view key) {
  const ForeignKeys* family = nullptr;
  for (const ForeignKeys& row : table) {
    for (const std::string& name : blank_separated(row.names)) {
      if (name == key) return &row;
      const std::size_t star = name.find('*');
      if (star != std::string::npos && key.size() + 1 >= name.size() && key.starts_with(name.substr(0, star)) &&
          key.ends_with(name.substr(star + 1)))
        family = &row;
    }
  }
  return family;
}

bool is_foreign_group(ForeignTable table, std::string_view group) {
  const std::string prefix = std::string(group) + ".";
  return std::any_of(table.begin(), table.end(), [&](const ForeignKeys& row) {
    const std::vector<std::string> names = blank_separated(row.names);
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return name.starts_with(prefix); });
  });
}

void ConfigNotes::take(const ForeignKeys& row, const std::string& written, const ConfigNode& value,
                       ConfigProblems& problems) {
  whose_.push_back(row.whose);
  const std::vector<std::string> off = blank_separated(row.off);
  if (asks_for_nothing(value, off)) return;
  if (row.verdict == Verdict::kRefused) {
    const std::string harmless =
        off.empty() || off.front().starts_with('*') ? "" : fmt::format(" (or set it to {})", off.front());
    return problems.add("{}: {}: known, but not supported in this version; {}{}", value.place, written, row.advice,
                        harmless);
  }
  if (row.verdict == Verdict::kHarmless) {
    if (std::find(harmless_.begin(), harmless_.end(), written) == harmless_.end()) harmless_.push_back(written);
    return;
  }
  const auto same = std::find_if(near_.begin(), near_.end(), [&](const Near& near) { return near.row == &row; });
  if (same == near_.end())
    near_.push_back({&row, value.place, written});
  else
    same->keys += ", " + written;
}

std::vector<std::string> ConfigNotes::lines() const {
  std::vector<std::string> lines;
  if (!harmless_.empty()) lines.push_back(fmt::format("without effect here: {}", fmt::join(harmless_, ", ")));
  for (const Near& near : near_) lines.push_back(fmt::format("{}: {}: {}", near.place, near.keys, near.row->advice));
  lines.insert(lines.end(), said_.begin(), said_.end());
  return lines;
}

bool ConfigNotes::saw(std::string_view whose) const {
  return std::find(whose_.begin(), whose_.end(), whose) != whose_.end();
}

}  // namespace shardlora
