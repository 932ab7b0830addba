#include "base/config_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/ascii.h"

namespace shardlora {
namespace {

std::string shown(const ConfigNode& node) {
  switch (node.kind) {
    case ConfigNode::Kind::kNull: return "nothing";
    case ConfigNode::Kind::kScalar: return fmt::format("\"{}\"", node.text.substr(0, 80));
    case ConfigNode::Kind::kSequence: return "a list";
    case ConfigNode::Kind::kMapping: return "a mapping";
  }
  return {};
}

template <typename T>
bool parse_whole(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

const std::string& scalar(const ConfigValue& value, const std::string& what) {
  if (value.node.kind != ConfigNode::Kind::kScalar) expected(value, what);
  return value.node.text;
}

struct ByteUnit {
  std::string_view name;
  double bytes;
};
constexpr std::array<ByteUnit, 9> kByteUnits{{{"TiB", 0x1p40},
                                              {"GiB", 0x1p30},
                                              {"MiB", 0x1p20},
                                              {"KiB", 0x1p10},
                                              {"TB", 1e12},
                                              {"GB", 1e9},
                                              {"MB", 1e6},
                                              {"KB", 1e3},
                                              {"B", 1}}};

// Levenshtein's, with a swap of neighbours as one edit.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  std::iota(d[0].begin(), d[0].end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    d[i][0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, changed});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

void expected(const ConfigValue& value, const std::string& what) {
  fail("{}: {}: expected {}, got {}", value.node.place, value.name, what, shown(value.node));
}

std::optional<bool> bool_of(std::string_view written) {
  const std::string text = lower_case(std::string(written));
  if (text == "true" || text == "yes" || text == "on") return true;
  if (text == "false" || text == "no" || text == "off") return false;
  return {};
}

bool to_bool(const ConfigValue& value) {
  if (const auto word = bool_of(scalar(value, "true or false"))) return *word;
  expected(value, "true or false");
}

std::string whole_number(std::int64_t min, std::int64_t max) {
  return max == std::numeric_limits<std::int64_t>::max() ? fmt::format("a whole number of at least {}", min)
                                                         : fmt::format("a whole number from {} to {}", min, max);
}

std::string number_between(double min, double max) {
  return std::isinf(max) ? fmt::format("a number of at least {}", min)
                         : fmt::format("a number from {} to {}", min, max);
}

std::string number_above_zero(double max) { return fmt::format("a number above 0, at most {}", max); }

std::int64_t to_integer(const ConfigValue& value, std::int64_t min, std::int64_t max) {
  const std::string what = whole_number(min, max);
  std::int64_t number = 0;
  if (!parse_whole(scalar(value, what), number) || number < min || number > max) expected(value, what);
  return number;
}

double to_number(const ConfigValue& value, double min, double max) {
  const std::string what = number_between(min, max);
  double number = 0;
  if (!parse_whole(scalar(value, what), number) || !std::isfinite(number) || number < min || number > max)
    expected(value, what);
  return number;
}

double to_number_above_zero(const ConfigValue& value, double max) {
  const std::string what = number_above_zero(max);
  double number = 0;
  if (!parse_whole(scalar(value, what), number) || !(number > 0 && number <= max)) expected(value, what);
  return number;
}

std::string to_text(const ConfigValue& value) { return scalar(value, "a word or text"); }

std::vector<std::string> to_words(const ConfigValue& value) {
  if (value.node.kind == ConfigNode::Kind::kScalar) return {value.node.text};
  if (value.node.kind != ConfigNode::Kind::kSequence) expected(value, "a list of words");
  std::vector<std::string> words;
  for (const ConfigNode& item : value.node.items) {
    if (item.kind != ConfigNode::Kind::kScalar)
      fail("{}: {}: expected a list of words, got {} in it", item.place, value.name, shown(item));
    words.push_back(item.text);
  }
  return words;
}

std::vector<std::string> comma_separated(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    std::string word = text.substr(begin, end - begin);
    word.erase(0, std::min(word.find_first_not_of(' '), word.size()));
    word.erase(word.find_last_not_of(' ') + 1);
    if (!word.empty()) words.push_back(std::move(word));
    begin = end + 1;
  }
  return words;
}

std::vector<std::string> to_split_words(const ConfigValue& value) {
  std::vector<std::string> words;
  for (const std::string& text : to_words(value))
    for (std::string& word : comma_separated(text)) words.push_back(std::move(word));
  return words;
}

std::uint64_t to_bytes(const ConfigValue& value) {
  const std::string what = "a size such as 24GiB, 512MiB or a number of bytes";
  std::string_view text = scalar(value, what);
  double unit = 1;
  for (const ByteUnit& candidate : kByteUnits) {
    if (!text.ends_with(candidate.name)) continue;
    unit = candidate.bytes;
    text.remove_suffix(candidate.name.size());
    while (text.ends_with(' ')) text.remove_suffix(1);
    break;
  }
  double number = 0;
  if (!parse_whole(text, number) || !(number >= 0) || number * unit > 0x1p60) expected(value, what);
  return static_cast<std::uint64_t>(std::llround(number * unit));
}

std::string bytes_text(std::uint64_t bytes) {
  for (const ByteUnit& unit : kByteUnits) {
    const auto size = static_cast<std::uint64_t>(unit.bytes);
    if (size > 1 && bytes > 0 && bytes % size == 0) return fmt::format("{}{}", bytes / size, unit.name);
  }
  return std::to_string(bytes);
}

std::string yaml_text(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n')
      quoted += "\\n";
    else if (static_cast<unsigned char>(c) < 0x20)
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      quoted += c;
  }
  return quoted + '"';
}

std::string yaml_list(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ", ") + yaml_text(word);
  return "[" + list + "]";
}

std::string nearest_name(std::string_view word, std::span<const std::string> names) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(1, std::min<std::size_t>(word.size(), 12) / 3) + 1;
  if (word.size() > 100) return best;
  for (const std::string& name : names) {
    const std::size_t distance = edit_distance(word, name);
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> names) {
  const std::string nearest = nearest_name(word, names);
  return nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest);
}

}  // namespace shardlora
