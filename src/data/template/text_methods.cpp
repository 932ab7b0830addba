// Python's str methods on text with origins.
#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "data/template/text.h"

namespace shardlora {
namespace {

// Line ends of str.splitlines.
bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool is_cased_letter(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

std::vector<Text> split_at_space(const Text& text, std::size_t limit) {
  std::vector<Text> parts;
  const std::vector<TextCharacter> all = characters(text.bytes());
  std::size_t i = 0;
  const auto skip_space = [&] {
    while (i < all.size() && is_python_space(all[i].code)) ++i;
  };
  for (skip_space(); i < all.size(); skip_space()) {
    const std::size_t begin = all[i].begin;
    if (parts.size() == limit) {
      parts.push_back(strip(text.slice(begin, text.size()), Side::kRight));
      break;
    }
    while (i < all.size() && !is_python_space(all[i].code)) ++i;
    parts.push_back(text.slice(begin, i < all.size() ? all[i].begin : text.size()));
  }
  return parts;
}

}  // namespace

Text strip(const Text& text, Side side, std::string_view set, bool whitespace) {
  const std::vector<TextCharacter> all = characters(text.bytes());
  const std::vector<TextCharacter> removed = characters(set);
  const auto removable = [&](const TextCharacter& c) {
    if (whitespace) return is_python_space(c.code);
    return std::any_of(removed.begin(), removed.end(), [&](const TextCharacter& r) { return r.code == c.code; });
  };
  std::size_t first = 0, last = all.size();
  if (side != Side::kRight) {
    while (first < last && removable(all[first])) ++first;
  }
  if (side != Side::kLeft) {
    while (last > first && removable(all[last - 1])) --last;
  }
  const std::size_t begin = first < all.size() ? all[first].begin : text.size();
  return text.slice(begin, last > first ? all[last - 1].end : begin);
}

Text replace(const Text& text, std::string_view from, const Text& to, std::size_t limit) {
  Text out;
  std::size_t done = 0;
  if (from.empty()) {  // between all characters, as Python has it
    for (const TextCharacter& c : characters(text.bytes())) {
      if (limit > 0) out.append(to), --limit;
      out.append_slice(text, c.begin, c.end);
    }
    if (limit > 0) out.append(to);
    return out;
  }
  for (std::size_t found; limit > 0 && (found = text.bytes().find(from, done)) != std::string::npos; --limit) {
    out.append_slice(text, done, found);
    out.append(to);
    done = found + from.size();
  }
  out.append_slice(text, done, text.size());
  return out;
}

std::vector<Text> split(const Text& text, std::string_view separator, std::size_t limit) {
  if (separator.empty()) return split_at_space(text, limit);
  std::vector<Text> parts;
  std::size_t done = 0;
  for (std::size_t found; parts.size() < limit && (found = text.bytes().find(separator, done)) != std::string::npos;) {
    parts.push_back(text.slice(done, found));
    done = found + separator.size();
  }
  parts.push_back(text.slice(done, text.size()));
  return parts;
}

std::vector<Text> split_from_right(const Text& text, std::string_view separator, std::size_t limit) {
  std::vector<Text> parts;
  if (separator.empty()) {
    Text rest = strip(text, Side::kBoth);
    while (!rest.empty()) {
      const std::vector<TextCharacter> all = characters(rest.bytes());
      std::size_t i = parts.size() == limit ? 0 : all.size();
      while (i > 0 && !is_python_space(all[i - 1].code)) --i;
      const std::size_t begin = i == 0 ? 0 : all[i].begin;
      parts.push_back(rest.slice(begin, rest.size()));
      rest = strip(rest.slice(0, begin), Side::kRight);
    }
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  std::size_t end = text.size();
  while (parts.size() < limit && end >= separator.size()) {
    const std::size_t found = text.bytes().rfind(separator, end - separator.size());
    if (found == std::string::npos) break;
    parts.push_back(text.slice(found + separator.size(), end));
    end = found;
  }
  parts.push_back(text.slice(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Text> split_lines(const Text& text, bool keep_ends) {
  std::vector<Text> lines;
  const std::vector<TextCharacter> all = characters(text.bytes());
  std::size_t begin = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!is_line_end(all[i].code)) continue;
    const std::size_t line_end = all[i].begin;
    if (all[i].code == '\r' && i + 1 < all.size() && all[i + 1].code == '\n') ++i;
    lines.push_back(text.slice(begin, keep_ends ? all[i].end : line_end));
    begin = all[i].end;
  }
  if (begin < text.size()) lines.push_back(text.slice(begin, text.size()));
  return lines;
}

Text with_case(const Text& text, LetterCase letter_case) {
  Text out;
  bool after_letter = false, first = true;
  for (const TextCharacter& c : characters(text.bytes())) {
    const auto code = static_cast<utf8proc_int32_t>(c.code);
    const bool upper = letter_case == LetterCase::kUpper || (letter_case == LetterCase::kTitle && !after_letter) ||
                       (letter_case == LetterCase::kCapitalize && first);
    const utf8proc_int32_t mapped = !upper                              ? utf8proc_tolower(code)
                                    : letter_case == LetterCase::kUpper ? utf8proc_toupper(code)
                                                                        : utf8proc_totitle(code);
    std::string bytes;
    // The two letters of everyday languages that become two characters; Python has some 100 rarer ones.
    if (upper && c.code == 0xDF)
      bytes = letter_case == LetterCase::kUpper ? "SS" : "Ss";
    else if (!upper && c.code == 0x130)
      bytes = "i\u0307";
    else
      append_utf8(bytes, static_cast<char32_t>(mapped));
    out.append(bytes, text.origin_at(c.begin));
    after_letter = is_cased_letter(c.code);
    first = false;
  }
  if (text.empty()) out.append(text);
  return out.as_markup(text.markup());
}

Text html_escaped(const Text& text) {
  if (text.markup()) return text;
  const std::array<std::pair<std::string_view, std::string_view>, 5> marks{
      {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}}};
  Text out = text;
  for (const auto& [mark, name] : marks)
    out = replace(out, mark, Text(name, {Origin::Kind::kData, -1}), std::string::npos);
  return out.as_markup();
}

}  // namespace shardlora
