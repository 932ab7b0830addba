// The filters of the template language: "x | trim". Those of lists are in list_filters.cpp.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "data/template/interpreter.h"
#include "data/template/list_filters.h"

namespace shardlora {
namespace {

using I = Interpreter;
using V = Value;
using A = Arguments;

V indented(const Text& text, const A& a) {
  const V* width = a.get(0, "width");
  Text margin =
      width != nullptr && width->as<Text>() != nullptr
          ? *width->as<Text>()
          : Text(std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(a.whole(0, "width", 4), 0, 1000)), ' '),
                 {});
  const bool first = a.flag(1, "first", false), blank = a.flag(2, "blank", false);
  Text with_end = text, out;
  with_end.append("\n", {});
  const std::vector<Text> lines = split_lines(with_end, false);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n", {});
    if (i == 0 ? first : blank || !lines[i].empty()) out.append(margin);
    out.append(lines[i]);
  }
  return out;
}

V json(const V& v, const A& a) {
  JsonStyle style;
  style.ascii = a.flag(0, "ensure_ascii", false);
  style.sort_keys = a.flag(3, "sort_keys", false);
  style.indent = static_cast<int>(std::clamp<std::int64_t>(a.whole(1, "indent", -1), -1, 64));
  if (const V* separators = a.get(2, "separators"); separators != nullptr && !separators->is_none()) {
    const std::vector<V> pair = iterate(*separators);
    if (pair.size() != 2 || pair[0].as<Text>() == nullptr || pair[1].as<Text>() == nullptr)
      fault("separators must be two strings");
    style.item_separator = pair[0].as<Text>()->bytes();
    style.key_separator = pair[1].as<Text>()->bytes();
  } else if (style.indent >= 0) {
    style.item_separator = ",";
  }
  return to_json(v, style);
}

V whole_number(const V& v, const A& a) {
  std::int64_t whole = 0;
  double real = 0;
  if (v.to_whole(whole)) return whole;
  if (v.to_real(real) && std::abs(real) < 9e18) return static_cast<std::int64_t>(real);
  if (const Text* text = v.as<Text>()) {
    const Text digits = strip(*text, Side::kBoth);
    const char *begin = digits.bytes().data(), *end = begin + digits.size();
    if (begin != end && *begin == '+') ++begin;
    if (const auto [at, error] = std::from_chars(begin, end, whole); error == std::errc() && at == end) return whole;
    if (const auto [at, error] = std::from_chars(begin, end, real);
        error == std::errc() && at == end && std::abs(real) < 9e18)
      return static_cast<std::int64_t>(real);
  }
  return a.whole(0, "default", 0);
}

V real_number(const V& v, const A& a) {
  double real = 0;
  if (v.to_real(real)) return real;
  if (const Text* text = v.as<Text>()) {
    const Text digits = strip(*text, Side::kBoth);
    const char *begin = digits.bytes().data(), *end = begin + digits.size();
    if (const auto [at, error] = std::from_chars(begin, end, real); error == std::errc() && at == end && begin != end)
      return real;
  }
  const V* otherwise = a.get(0, "default");
  return otherwise == nullptr ? V(0.0) : *otherwise;
}

V rounded(const V& v, const A& a) {
  double number = 0;
  if (!v.to_real(number)) fault("round needs a number, not a ", v.type_name());
  const double scale = std::pow(10.0, static_cast<double>(a.whole(0, "precision", 0)));
  const std::string method = a.get(1, "method") != nullptr ? a.text(1, "method").bytes() : "common";
  if (method == "ceil") return std::ceil(number * scale) / scale;
  if (method == "floor") return std::floor(number * scale) / scale;
  return std::nearbyint(number * scale) / scale;  // halves to even, as Python
}

V magnitude(const V& v) {
  if (const double* real = v.as<double>()) return std::abs(*real);
  return less(v, std::int64_t{0}) ? binary("-", std::int64_t{0}, v) : v;
}

Text formatted_by(const Text& format, const A& a) {
  if (!a.named.empty() && !a.positional.empty()) fault("format takes values or names, not both");
  if (a.named.empty()) return percent_format(format, V::list(a.positional, {}, true));
  std::vector<std::pair<V, V>> items;
  for (const auto& [name, value] : a.named) items.emplace_back(Text(name, {}), value);
  return percent_format(format, V::dict(std::move(items)));
}

V centred(const Text& text, std::int64_t width) {
  const std::int64_t size = length(text), missing = std::clamp<std::int64_t>(width - size, 0, 10000);
  // Python puts the odd blank on the left where the width is odd.
  const std::int64_t left = missing / 2 + (missing & width & 1);
  Text out(std::string(static_cast<std::size_t>(left), ' '), {});
  out.append(text);
  out.append(std::string(static_cast<std::size_t>(missing - left), ' '), {});
  return out;
}

V cut_short(const Text& text, const A& a) {
  const std::int64_t most = a.whole(0, "length", 255), leeway = a.whole(3, "leeway", 5);
  const Text end = a.get(2, "end") == nullptr ? Text("...", {}) : a.text(2, "end");
  if (most < length(end)) fault("truncate to ", std::to_string(most), " characters leaves no room for its end");
  if (leeway < 0) fault("truncate with a leeway of ", std::to_string(leeway), "; it must not be negative");
  if (length(text) - most <= leeway) return text;
  const std::vector<TextCharacter> all = characters(text.bytes());
  Text kept = text.slice(0, all[static_cast<std::size_t>(most - length(end))].begin);
  if (!a.flag(1, "killwords", false)) {
    const std::vector<Text> parts = split_from_right(kept, " ", 1);
    kept = parts.front();
  }
  kept.append(end);
  return kept;
}

// Words as \w+ finds them, but for the letters of other alphabets, which count as one word where they touch.
std::int64_t words_in(const Text& text) {
  std::int64_t words = 0;
  bool inside = false;
  for (const TextCharacter& c : characters(text.bytes())) {
    const bool word = c.code >= 0x80 ? !is_python_space(c.code)
                                     : (c.code >= '0' && c.code <= '9') || (c.code >= 'a' && c.code <= 'z') ||
                                           (c.code >= 'A' && c.code <= 'Z') || c.code == '_';
    words += word && !inside ? 1 : 0;
    inside = word;
  }
  return words;
}

struct NamedFilter {
  std::string_view name;
  Filter filter;
};

constexpr std::array<NamedFilter, 45> kFilters{{
    {"trim",
     [](I&, const V& v, const A& a) -> V {
       const V* set = a.get(0, "chars");
       const Text text = to_text(v);
       return set == nullptr || set->is_none() ? strip(text, Side::kBoth)
                                               : strip(text, Side::kBoth, a.text(0, "chars").bytes(), false);
     }},
    {"tojson", [](I&, const V& v, const A& a) { return json(v, a); }},
    {"length", [](I&, const V& v, const A&) -> V { return length(v); }},
    {"count", [](I&, const V& v, const A&) -> V { return length(v); }},
    {"upper", [](I&, const V& v, const A&) -> V { return with_case(to_text(v), LetterCase::kUpper); }},
    {"lower", [](I&, const V& v, const A&) -> V { return with_case(to_text(v), LetterCase::kLower); }},
    {"capitalize", [](I&, const V& v, const A&) -> V { return with_case(to_text(v), LetterCase::kCapitalize); }},
    {"join", joined},
    {"default",
     [](I&, const V& v, const A& a) -> V {
       const bool missing = v.is_undefined() || (a.flag(1, "boolean", false) && !v.truthy());
       return !missing ? v : a.get(0, "default_value") != nullptr ? *a.get(0, "default_value") : V(Text());
     }},
    {"d", [](I& in, const V& v, const A& a) { return in.apply_filter("default", v, a); }},
    {"string", [](I&, const V& v, const A&) -> V { return to_text(v); }},
    {"list",
     [](I&, const V& v, const A&) -> V {
       return V::list(iterate(v), v.as<List>() != nullptr ? v.as<List>()->origin : Origin{});
     }},
    {"first", [](I&, const V& v, const A&) { return end_of(v, true); }},
    {"last", [](I&, const V& v, const A&) { return end_of(v, false); }},
    {"replace",
     [](I&, const V& v, const A& a) -> V {
       const std::int64_t limit = a.whole(2, "count", -1);
       return replace(to_text(v).as_markup(false), a.text(0, "old").bytes(), a.text(1, "new"),
                      limit < 0 ? std::string::npos : static_cast<std::size_t>(limit));
     }},
    {"select", [](I& in, const V& v, const A& a) { return selected(in, v, a, false, true); }},
    {"reject", [](I& in, const V& v, const A& a) { return selected(in, v, a, false, false); }},
    {"selectattr", [](I& in, const V& v, const A& a) { return selected(in, v, a, true, true); }},
    {"rejectattr", [](I& in, const V& v, const A& a) { return selected(in, v, a, true, false); }},
    {"map", mapped},
    {"items", [](I&, const V& v, const A&) { return pairs_of(v); }},
    {"dictsort", sorted_dict},
    {"sort", sorted},
    {"unique", unique},
    {"min", [](I& in, const V& v, const A& a) { return extreme(in, v, a, false); }},
    {"max", [](I& in, const V& v, const A& a) { return extreme(in, v, a, true); }},
    {"sum", total},
    {"reverse", [](I&, const V& v, const A&) { return reversed(v); }},
    {"int", [](I&, const V& v, const A& a) { return whole_number(v, a); }},
    {"float", [](I&, const V& v, const A& a) { return real_number(v, a); }},
    {"round", [](I&, const V& v, const A& a) { return rounded(v, a); }},
    {"abs", [](I&, const V& v, const A&) { return magnitude(v); }},
    {"indent", [](I&, const V& v, const A& a) { return indented(to_text(v), a); }},
    {"attr", [](I& in, const V& v, const A& a) { return in.attribute(v, a.text(0, "name").bytes()); }},
    {"safe", [](I&, const V& v, const A&) -> V { return to_text(v).as_markup(); }},
    {"escape", [](I&, const V& v, const A&) -> V { return html_escaped(to_text(v)); }},
    {"e", [](I&, const V& v, const A&) -> V { return html_escaped(to_text(v)); }},
    {"groupby", grouped},
    {"batch", batches},
    {"slice", slices},
    {"format", [](I&, const V& v, const A& a) -> V { return formatted_by(to_text(v), a); }},
    {"center", [](I&, const V& v, const A& a) { return centred(to_text(v), a.whole(0, "width", 80)); }},
    {"truncate", [](I&, const V& v, const A& a) { return cut_short(to_text(v), a); }},
    {"wordcount", [](I&, const V& v, const A&) -> V { return words_in(to_text(v)); }},
    {"title", [](I&, const V& v, const A&) -> V { return with_case(to_text(v), LetterCase::kTitle); }},
}};

}  // namespace

Filter find_filter(std::string_view name) {
  const auto* found =
      std::find_if(kFilters.begin(), kFilters.end(), [&](const NamedFilter& filter) { return filter.name == name; });
  return found == kFilters.end() ? nullptr : found->filter;
}

std::string filter_names() {
  std::string names;
  for (const NamedFilter& filter : kFilters) {
    if (!filter.name.empty()) names += (names.empty() ? "" : ", ") + std::string(filter.name);
  }
  return names;
}

}  // namespace shardlora
