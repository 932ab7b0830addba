// The filters of the template language: "x | trim".
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "data/template/interpreter.h"

namespace shardlora {
namespace {

using I = Interpreter;
using V = Value;
using A = Arguments;

// "attribute" arguments may name a path: "function.name", "0".
V attribute_path(I& in, V value, const V& path) {
  std::int64_t index = 0;
  if (path.to_whole(index)) return in.item(value, path);
  if (path.as<Text>() == nullptr) fault("an attribute must be named by a string, not a ", path.type_name());
  for (const Text& part : split(*path.as<Text>(), ".", std::string::npos)) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(part.bytes().data(), part.bytes().data() + part.size(), number);
    const bool whole = error == std::errc() && end == part.bytes().data() + part.size();
    value = in.item(value, whole ? V(number) : V(Text(part.bytes(), {})));
  }
  return value;
}

V to_key(I& in, const V& value, const V* attribute) {
  V key = attribute == nullptr || attribute->is_none() ? value : attribute_path(in, value, *attribute);
  return key;
}

V without_case(const V& value, bool case_sensitive) {
  return case_sensitive || value.as<Text>() == nullptr ? value : V(with_case(*value.as<Text>(), LetterCase::kLower));
}

// select, reject, selectattr, rejectattr: what is left of `a` after the attribute names a test and its arguments.
V selected(I& in, const V& v, const A& a, bool by_attribute, bool keep) {
  const std::size_t first = by_attribute ? 1 : 0;
  A test_arguments;
  for (std::size_t i = first + 1; i < a.positional.size(); ++i) test_arguments.positional.push_back(a.positional[i]);
  test_arguments.named = a.named;
  std::vector<V> items;
  for (V& item : iterate(v)) {
    in.spend();
    const V tested = by_attribute ? attribute_path(in, item, a.need(0, "attribute")) : item;
    const bool holds = a.positional.size() > first
                           ? in.apply_test(a.text(first, "test").bytes(), tested, test_arguments)
                           : tested.truthy();
    if (holds == keep) items.push_back(std::move(item));
  }
  return V::list(std::move(items));
}

V map(I& in, const V& v, const A& a) {
  std::vector<V> items;
  const V* attribute = a.positional.empty() ? a.get(0, "attribute") : nullptr;
  A rest;
  if (attribute == nullptr) {
    rest.positional.assign(a.positional.begin() + std::min<std::ptrdiff_t>(1, std::ssize(a.positional)),
                           a.positional.end());
    rest.named = a.named;
  }
  for (const V& item : iterate(v)) {
    in.spend();
    if (attribute == nullptr) {
      items.push_back(in.apply_filter(a.text(0, "filter").bytes(), item, rest));
      continue;
    }
    V mapped = attribute_path(in, item, *attribute);
    const V* otherwise = a.get(1, "default");
    items.push_back(mapped.is_undefined() && otherwise != nullptr ? *otherwise : std::move(mapped));
  }
  return V::list(std::move(items));
}

V join(I& in, const V& v, const A& a) {
  const V* separator = a.get(0, "d");
  const Text between = separator == nullptr ? Text() : to_text(*separator);
  Text joined;
  bool first = true;
  for (const V& item : iterate(v)) {
    in.spend();
    if (!first && !between.empty()) joined.append(between);
    joined.append(to_text(to_key(in, item, a.get(1, "attribute"))));
    first = false;
  }
  return joined;
}

V sorted(I& in, const V& v, const A& a) {
  const bool reverse = a.flag(0, "reverse", false), case_sensitive = a.flag(1, "case_sensitive", false);
  std::vector<std::pair<V, V>> keyed;
  for (const V& item : iterate(v))
    keyed.emplace_back(without_case(to_key(in, item, a.get(2, "attribute")), case_sensitive), item);
  in.spend(keyed.size() * 1024);
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& x, const auto& y) {
    return reverse ? less(y.first, x.first) : less(x.first, y.first);
  });
  std::vector<V> items;
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return V::list(std::move(items));
}

V sorted_dict(I& in, const V& v, const A& a) {
  const Dict* dict = v.as<Dict>();
  if (dict == nullptr) fault("dictsort needs a dict, not a ", v.type_name());
  const bool case_sensitive = a.flag(0, "case_sensitive", false), reverse = a.flag(2, "reverse", false);
  const V* by = a.get(1, "by");
  const bool by_value = by != nullptr && by->as<Text>() != nullptr && by->as<Text>()->bytes() == "value";
  auto items = dict->items;
  in.spend(items.size() * 1024);
  std::stable_sort(items.begin(), items.end(), [&](const auto& x, const auto& y) {
    const V left = without_case(by_value ? x.second : x.first, case_sensitive);
    const V right = without_case(by_value ? y.second : y.first, case_sensitive);
    return reverse ? less(right, left) : less(left, right);
  });
  std::vector<V> pairs;
  for (auto& [key, value] : items) pairs.push_back(V::list({key, value}, dict->origin, true));
  return V::list(std::move(pairs), dict->origin);
}

V unique(I& in, const V& v, const A& a) {
  std::vector<V> keys, items;
  for (V& item : iterate(v)) {
    in.spend(keys.size() * 64);
    V key = without_case(to_key(in, item, a.get(1, "attribute")), a.flag(0, "case_sensitive", false));
    if (std::any_of(keys.begin(), keys.end(), [&](const V& other) { return equal(other, key); })) continue;
    keys.push_back(std::move(key));
    items.push_back(std::move(item));
  }
  return V::list(std::move(items));
}

V extreme(I& in, const V& v, const A& a, bool largest) {
  const std::vector<V> items = iterate(v);
  if (items.empty()) return V::undefined("an empty list has no smallest or largest item");
  const auto key = [&](const V& item) {
    return without_case(to_key(in, item, a.get(1, "attribute")), a.flag(0, "case_sensitive", false));
  };
  const V* best = &items[0];
  for (const V& item : items) {
    if (largest ? less(key(*best), key(item)) : less(key(item), key(*best))) best = &item;
  }
  return *best;
}

V total(I& in, const V& v, const A& a) {
  V sum = a.get(1, "start") != nullptr ? *a.get(1, "start") : V(std::int64_t{0});
  for (const V& item : iterate(v)) sum = binary("+", sum, to_key(in, item, a.get(0, "attribute")));
  return sum;
}

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

V reversed(const V& v) {
  std::vector<V> items = iterate(v);
  std::reverse(items.begin(), items.end());
  if (v.as<Text>() == nullptr) return V::list(std::move(items));
  Text out;
  for (const V& item : items) out.append(*item.as<Text>());
  return out;
}

V pairs_of(const V& v) {
  if (v.is_undefined()) return V::list({});
  const Dict* dict = v.as<Dict>();
  if (dict == nullptr) fault("items needs a dict, not a ", v.type_name());
  std::vector<V> pairs;
  for (const auto& [key, value] : dict->items) pairs.push_back(V::list({key, value}, dict->origin, true));
  return V::list(std::move(pairs), dict->origin);
}

V escaped(const Text& text) {
  Text out = text;
  const std::array<std::pair<std::string_view, std::string_view>, 5> marks{
      {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}}};
  for (const auto& [mark, name] : marks)
    out = replace(out, mark, Text(name, {Origin::Kind::kData, -1}), std::string::npos);
  return out;
}

V end_of(const V& v, bool front) {
  const std::vector<V> items = iterate(v);
  if (items.empty()) return V::undefined("an empty list has no first or last item");
  return front ? items.front() : items.back();
}

struct NamedFilter {
  std::string_view name;
  Filter filter;
};

constexpr std::array<NamedFilter, 38> kFilters{{
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
    {"join", join},
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
       return replace(to_text(v), a.text(0, "old").bytes(), a.text(1, "new"),
                      limit < 0 ? std::string::npos : static_cast<std::size_t>(limit));
     }},
    {"select", [](I& in, const V& v, const A& a) { return selected(in, v, a, false, true); }},
    {"reject", [](I& in, const V& v, const A& a) { return selected(in, v, a, false, false); }},
    {"selectattr", [](I& in, const V& v, const A& a) { return selected(in, v, a, true, true); }},
    {"rejectattr", [](I& in, const V& v, const A& a) { return selected(in, v, a, true, false); }},
    {"map", map},
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
    {"safe", [](I&, const V& v, const A&) { return v; }},
    {"escape", [](I&, const V& v, const A&) { return escaped(to_text(v)); }},
    {"e", [](I&, const V& v, const A&) { return escaped(to_text(v)); }},
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
