#include "data/template/list_filters.h"

#include <algorithm>
#include <charconv>
#include <utility>

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

}  // namespace

V selected(I& in, const V& v, const A& a, bool by_attribute, bool keep) {
  const std::size_t first = by_attribute ? 1 : 0;
  A test_arguments;
  for (std::size_t i = first + 1; i < a.positional.size(); ++i) test_arguments.positional.push_back(a.positional[i]);
  test_arguments.named = a.named;
  std::vector<V> items;
  if (!v.truthy()) return V::list({});  // Jinja doesn't look into none
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

V mapped(I& in, const V& v, const A& a) {
  std::vector<V> items;
  const V* attribute = a.positional.empty() ? a.get(0, "attribute") : nullptr;
  A rest;
  if (attribute == nullptr) {
    rest.positional.assign(a.positional.begin() + std::min<std::ptrdiff_t>(1, std::ssize(a.positional)),
                           a.positional.end());
    rest.named = a.named;
  }
  if (!v.truthy()) return V::list({});
  for (const V& item : iterate(v)) {
    in.spend();
    if (attribute == nullptr) {
      items.push_back(in.apply_filter(a.text(0, "filter").bytes(), item, rest));
      continue;
    }
    V mapped = attribute_path(in, item, *attribute);
    const V* otherwise = a.get(1, "default");
    items.push_back(mapped.is_undefined() && otherwise != nullptr ? *otherwise : mapped);
  }
  return V::list(std::move(items));
}

V joined(I& in, const V& v, const A& a) {
  const V* separator = a.get(0, "d");
  const Text between = separator == nullptr ? Text() : to_text(*separator);
  Text out;
  bool first = true;
  for (const V& item : iterate(v)) {
    in.spend();
    if (!first && !between.empty()) out.append(between);
    out.append(to_text(to_key(in, item, a.get(1, "attribute"))));
    first = false;
  }
  return out;
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

// groupby: pairs of a value and the items that have it, in the order of the values.
V grouped(I& in, const V& v, const A& a) {
  const V* otherwise = a.get(1, "default");
  const bool case_sensitive = a.flag(2, "case_sensitive", false);
  std::vector<std::pair<V, V>> keyed;
  for (const V& item : iterate(v)) {
    V key = attribute_path(in, item, a.need(0, "attribute"));
    keyed.emplace_back(key.is_undefined() && otherwise != nullptr ? *otherwise : key, item);
  }
  in.spend(keyed.size() * 1024);
  const auto folded = [&](const V& key) { return without_case(key, case_sensitive); };
  std::stable_sort(keyed.begin(), keyed.end(),
                   [&](const auto& x, const auto& y) { return less(folded(x.first), folded(y.first)); });
  std::vector<V> groups;
  for (std::size_t begin = 0, end = 0; begin < keyed.size(); begin = end) {
    std::vector<V> items;
    for (; end < keyed.size() && equal(folded(keyed[begin].first), folded(keyed[end].first)); ++end)
      items.push_back(keyed[end].second);
    groups.push_back(V::list({keyed[begin].first, V::list(std::move(items))}, {}, true));
  }
  return V::list(std::move(groups));
}

// batch(n): rows of n items, the last one filled up where there is something to fill with.
V batches(I& in, const V& v, const A& a) {
  const std::int64_t size = a.whole(0, "linecount", 0);
  const V* fill = a.get(1, "fill_with");
  if (size < 1) fault("batch needs a size of at least 1");
  std::vector<V> rows, row;
  const std::vector<V> items = iterate(v);
  for (const V& item : items) {
    in.spend();
    if (static_cast<std::int64_t>(row.size()) == size) rows.push_back(V::list(std::exchange(row, {})));
    row.push_back(item);
  }
  while (fill != nullptr && !fill->is_none() && !row.empty() && static_cast<std::int64_t>(row.size()) < size) {
    in.spend();
    row.push_back(*fill);
  }
  if (!row.empty()) rows.push_back(V::list(std::move(row)));
  return V::list(std::move(rows));
}

// slice(n): n columns, the first ones longer where it doesn't come out even.
V slices(I& in, const V& v, const A& a) {
  const std::vector<V> items = iterate(v);
  const std::int64_t count = a.whole(0, "slices", 0), size = std::ssize(items);
  const V* fill = a.get(1, "fill_with");
  if (count < 1 || count > 100000) fault("slice needs a number of slices from 1 to 100000");
  std::vector<V> columns;
  auto next = items.begin();
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t longer = i < size % count ? 1 : 0;
    in.spend();
    std::vector<V> column(next, next + size / count + longer);
    next += size / count + longer;
    if (fill != nullptr && !fill->is_none() && longer == 0 && size % count != 0) column.push_back(*fill);
    columns.push_back(V::list(std::move(column)));
  }
  return V::list(std::move(columns));
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

V end_of(const V& v, bool front) {
  const std::vector<V> items = iterate(v);
  if (items.empty()) return V::undefined("an empty list has no first or last item");
  return front ? items.front() : items.back();
}

}  // namespace shardlora
