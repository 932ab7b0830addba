// The methods of strings and dicts that templates call. Methods that would change a value are refused, as Hugging
// Face's sandbox does.
#include <algorithm>
#include <array>
#include <limits>

#include "data/template/interpreter.h"

namespace shardlora {
namespace {

constexpr std::array<std::string_view, 20> kTextMethods{
    "strip",    "lstrip",       "rstrip",       "split", "rsplit",  "splitlines", "startswith",
    "endswith", "replace",      "upper",        "lower", "title",   "capitalize", "join",
    "find",     "removeprefix", "removesuffix", "count", "isdigit", "isspace"};
constexpr std::array<std::string_view, 4> kDictMethods{"items", "keys", "values", "get"};
constexpr std::array<std::string_view, 2> kListMethods{"index", "count"};
constexpr std::array<std::string_view, 11> kChanging{"append",     "extend", "insert", "pop",     "remove", "clear",
                                                     "setdefault", "update", "sort",   "reverse", "popitem"};

template <std::size_t N>
bool has(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// str.startswith takes a string or a tuple of them.
bool any_affix(const Text& text, const Value& affix, bool front) {
  if (const Text* part = affix.as<Text>())
    return front ? text.bytes().starts_with(part->bytes()) : text.bytes().ends_with(part->bytes());
  if (affix.as<List>() == nullptr)
    fault(front ? "startswith" : "endswith", " needs a string, not a ", affix.type_name());
  const auto& parts = affix.as<List>()->items;
  return std::any_of(parts.begin(), parts.end(), [&](const Value& part) { return any_affix(text, part, front); });
}

std::size_t limit_of(const Arguments& a, std::size_t index, std::string_view name) {
  const std::int64_t limit = a.whole(index, name, -1);
  return limit < 0 ? std::numeric_limits<std::size_t>::max() : static_cast<std::size_t>(limit);
}

Value list_of(std::vector<Text> parts) {
  std::vector<Value> items;
  for (Text& part : parts) items.emplace_back(std::move(part));
  return Value::list(std::move(items));
}

Value stripped(const Text& text, Side side, const Arguments& a) {
  const Value* set = a.get(0, "chars");
  return set == nullptr || set->is_none() ? strip(text, side) : strip(text, side, a.text(0, "chars").bytes(), false);
}

Value cut(const Text& text, const std::string& name, const Arguments& a) {
  const Value* given = a.get(0, "sep");
  const bool at_space = given == nullptr || given->is_none();
  if (!at_space && a.text(0, "sep").empty()) fault("split needs a separator that is not empty");
  const std::string separator = at_space ? "" : a.text(0, "sep").bytes();
  const std::size_t limit = limit_of(a, 1, "maxsplit");
  if (name == "split" || (at_space && limit == std::numeric_limits<std::size_t>::max()))
    return list_of(split(text, separator, limit));
  if (at_space) fault("rsplit at white space with a limit is not supported");
  return list_of(split_from_right(text, separator, limit));
}

bool all_characters(const Text& text, bool (*holds)(char32_t)) {
  const std::vector<TextCharacter> all = characters(text.bytes());
  return !all.empty() && std::all_of(all.begin(), all.end(), [&](const TextCharacter& c) { return holds(c.code); });
}

std::int64_t count_of(const Text& text, const std::string& part) {
  if (part.empty()) return length(text) + 1;
  std::int64_t count = 0;
  for (std::size_t at = 0; (at = text.bytes().find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

Value text_method(Interpreter& interpreter, const Text& text, const std::string& name, const Arguments& a) {
  if (name == "strip") return stripped(text, Side::kBoth, a);
  if (name == "lstrip") return stripped(text, Side::kLeft, a);
  if (name == "rstrip") return stripped(text, Side::kRight, a);
  if (name == "split" || name == "rsplit") return cut(text, name, a);
  if (name == "splitlines") return list_of(split_lines(text, a.flag(0, "keepends", false)));
  if (name == "startswith") return any_affix(text, a.need(0, "prefix"), true);
  if (name == "endswith") return any_affix(text, a.need(0, "suffix"), false);
  if (name == "replace") return replace(text, a.text(0, "old").bytes(), a.text(1, "new"), limit_of(a, 2, "count"));
  if (name == "upper") return with_case(text, LetterCase::kUpper);
  if (name == "lower") return with_case(text, LetterCase::kLower);
  if (name == "title") return with_case(text, LetterCase::kTitle);
  if (name == "capitalize") return with_case(text, LetterCase::kCapitalize);
  if (name == "count") return count_of(text, a.text(0, "sub").bytes());
  if (name == "isdigit") return all_characters(text, [](char32_t c) { return c >= '0' && c <= '9'; });
  if (name == "isspace") return all_characters(text, is_python_space);
  if (name == "removeprefix")
    return any_affix(text, a.need(0, "prefix"), true) ? text.slice(a.text(0, "prefix").size(), text.size()) : text;
  if (name == "removesuffix")
    return any_affix(text, a.need(0, "suffix"), false) ? text.slice(0, text.size() - a.text(0, "suffix").size()) : text;
  if (name == "find") {
    const std::size_t at = text.bytes().find(a.text(0, "sub").bytes());
    return at == std::string::npos ? std::int64_t{-1} : length(text.slice(0, at));
  }
  Text joined;  // join
  bool first = true;
  for (const Value& part : iterate(a.need(0, "iterable"))) {
    interpreter.spend();
    if (part.as<Text>() == nullptr) fault("join needs strings, not a ", part.type_name());
    if (!first) joined.append(text);
    joined.append(*part.as<Text>());
    first = false;
  }
  return joined;
}

Value dict_method(const Dict& dict, const std::string& name, const Arguments& a) {
  if (name == "get") {
    const Value* value = dict.find(a.need(0, "key"));
    if (value != nullptr) return *value;
    return a.get(1, "default") != nullptr ? *a.get(1, "default") : Value();
  }
  std::vector<Value> items;
  for (const auto& [key, value] : dict.items)
    items.push_back(name == "keys" ? key : name == "values" ? value : Value::list({key, value}, dict.origin, true));
  return Value::list(std::move(items), dict.origin);
}

Value list_method(const List& list, const std::string& name, const Arguments& a) {
  const Value& wanted = a.need(0, "value");
  const auto is_wanted = [&](const Value& item) { return equal(item, wanted); };
  if (name == "count") return static_cast<std::int64_t>(std::count_if(list.items.begin(), list.items.end(), is_wanted));
  const auto found = std::find_if(list.items.begin(), list.items.end(), is_wanted);
  if (found == list.items.end()) fault("the list has no such value");
  return static_cast<std::int64_t>(found - list.items.begin());
}

}  // namespace

bool has_method(const Value& object, std::string_view name) {
  if (object.as<Text>() != nullptr) return has(kTextMethods, name);
  if (object.as<Dict>() != nullptr) return has(kDictMethods, name) || has(kChanging, name);
  if (object.as<List>() != nullptr) return has(kListMethods, name) || has(kChanging, name);
  return false;
}

Value call_method(Interpreter& interpreter, const Value& object, const std::string& name, const Arguments& arguments) {
  if (object.as<Text>() == nullptr && has(kChanging, name))
    fault(".", name, "() would change a ", object.type_name(), ", which a template must not");
  if (const Text* text = object.as<Text>()) {
    interpreter.spend(text->size());
    return text_method(interpreter, *text, name, arguments);
  }
  if (const Dict* dict = object.as<Dict>()) return dict_method(*dict, name, arguments);
  return list_method(*object.as<List>(), name, arguments);
}

}  // namespace shardlora
