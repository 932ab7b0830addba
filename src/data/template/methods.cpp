// The methods of strings and dicts that templates call. Methods that would change a value are refused, as Hugging
// Face's sandbox does.
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <limits>

#include "data/template/interpreter.h"

namespace shardlora {
namespace {

constexpr std::array<std::string_view, 38> kTextMethods{
    "strip",        "lstrip",     "rstrip",  "split",   "rsplit",     "splitlines", "startswith", "endswith",
    "replace",      "upper",      "lower",   "title",   "capitalize", "join",       "find",       "removeprefix",
    "removesuffix", "count",      "isdigit", "isspace", "format",     "rfind",      "index",      "rindex",
    "partition",    "rpartition", "zfill",   "ljust",   "rjust",      "center",     "swapcase",   "casefold",
    "isalpha",      "isalnum",    "isupper", "islower", "isnumeric",  "isdecimal"};
constexpr std::array<std::string_view, 5> kDictMethods{"items", "keys", "values", "get", "copy"};
constexpr std::array<std::string_view, 3> kListMethods{"index", "count", "copy"};
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
  return list_of(split_from_right(text, separator, limit));
}

bool all_characters(const Text& text, bool (*holds)(char32_t)) {
  const std::vector<TextCharacter> all = characters(text.bytes());
  return !all.empty() && std::all_of(all.begin(), all.end(), [&](const TextCharacter& c) { return holds(c.code); });
}

// Python's optional start and end of find and count: the part of `text` they name, and the characters before it.
std::pair<Text, std::int64_t> part_of(const Text& text, const Arguments& a) {
  const std::int64_t size = length(text);
  const auto place = [&](std::size_t index, std::string_view name, std::int64_t otherwise) {
    const std::int64_t at = a.whole(index, name, otherwise);
    return std::clamp<std::int64_t>(at < 0 ? at + size : at, 0, size);
  };
  const std::int64_t begin = place(1, "start", 0), end = std::max(begin, place(2, "end", size));
  const std::vector<TextCharacter> all = characters(text.bytes());
  const auto offset = [&](std::int64_t i) { return i < size ? all[static_cast<std::size_t>(i)].begin : text.size(); };
  return {text.slice(offset(begin), offset(end)), begin};
}

std::int64_t find(const Text& whole, const std::string& name, const Arguments& a) {
  const auto [text, before] = part_of(whole, a);
  const std::string& part = a.text(0, "sub").bytes();
  const std::size_t at = name.starts_with('r') ? text.bytes().rfind(part) : text.bytes().find(part);
  if (at != std::string::npos) return before + length(text.slice(0, at));
  if (name.ends_with("index")) fault("the string has no '", part, "'");
  return -1;
}

Value parts_around(const Text& text, const Text& separator, bool last) {
  if (separator.empty()) fault("partition needs a separator that is not empty");
  const std::size_t at = last ? text.bytes().rfind(separator.bytes()) : text.bytes().find(separator.bytes());
  if (at == std::string::npos)
    return Value::list(last ? std::vector<Value>{Text(), Text(), text} : std::vector<Value>{text, Text(), Text()}, {},
                       true);
  const std::size_t behind = at + separator.size();
  return Value::list({text.slice(0, at), text.slice(at, behind), text.slice(behind, text.size())}, {}, true);
}

// ljust, rjust, center, zfill.
Text padded(const Text& text, const std::string& name, const Arguments& a) {
  constexpr std::int64_t kMost = 100000;
  const std::int64_t width = a.whole(0, "width", 0), missing = width - length(text);
  if (missing <= 0) return text;
  if (missing > kMost) fault(name, " to more than ", std::to_string(kMost), " characters");
  const Text fill = name == "zfill"                   ? Text("0", {})
                    : a.get(1, "fillchar") == nullptr ? Text(" ", {})
                                                      : a.text(1, "fillchar");
  if (length(fill) != 1) fault(name, " needs one character to fill with");
  const bool sign = name == "zfill" && !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+');
  const std::int64_t left = name == "ljust" ? 0 : name == "center" ? missing / 2 + (missing & width & 1) : missing;
  Text out = sign ? text.slice(0, 1) : Text();
  for (std::int64_t i = 0; i < left; ++i) out.append(fill);
  out.append(text.slice(sign ? 1 : 0, text.size()));
  for (std::int64_t i = left; i < missing; ++i) out.append(fill);
  return out;
}

bool is_letter(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}
bool is_decimal(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND; }
// Superscripts and their like are digits to Python; fractions and Roman numbers are only numeric.
bool is_digit(char32_t c) {
  return is_decimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) ||
         (c >= 0x2080 && c <= 0x2089) || (c >= 0x2460 && c <= 0x2468) || (c >= 0x2474 && c <= 0x247C);
}
bool is_numeric(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
}

// isupper, islower: something has case, and all that has it has this one.
bool in_case(const Text& text, LetterCase wanted) {
  const LetterCase other = wanted == LetterCase::kUpper ? LetterCase::kLower : LetterCase::kUpper;
  return with_case(text, wanted).bytes() == text.bytes() && with_case(text, other).bytes() != text.bytes();
}

Text case_swapped(const Text& text) {
  Text out;
  for (const TextCharacter& c : characters(text.bytes())) {
    const Text one = text.slice(c.begin, c.end);
    const Text upper = with_case(one, LetterCase::kUpper);
    out.append(upper.bytes() == one.bytes() ? with_case(one, LetterCase::kLower) : upper);
  }
  return out;
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
  if (name == "count") return count_of(part_of(text, a).first, a.text(0, "sub").bytes());
  if (name == "find" || name == "rfind" || name == "index" || name == "rindex") return find(text, name, a);
  if (name == "partition" || name == "rpartition") return parts_around(text, a.text(0, "sep"), name == "rpartition");
  if (name == "zfill" || name == "ljust" || name == "rjust" || name == "center") return padded(text, name, a);
  if (name == "format") return brace_format(interpreter, text, a);
  if (name == "swapcase") return case_swapped(text);
  if (name == "casefold") return with_case(text, LetterCase::kLower);
  if (name == "isupper") return in_case(text, LetterCase::kUpper);
  if (name == "islower") return in_case(text, LetterCase::kLower);
  if (name == "isalpha") return all_characters(text, is_letter);
  if (name == "isalnum") return all_characters(text, [](char32_t c) { return is_letter(c) || is_numeric(c); });
  if (name == "isnumeric") return all_characters(text, is_numeric);
  if (name == "isdecimal") return all_characters(text, is_decimal);
  if (name == "isdigit") return all_characters(text, is_digit);
  if (name == "isspace") return all_characters(text, is_python_space);
  if (name == "removeprefix")
    return any_affix(text, a.need(0, "prefix"), true) ? text.slice(a.text(0, "prefix").size(), text.size()) : text;
  if (name == "removesuffix")
    return any_affix(text, a.need(0, "suffix"), false) ? text.slice(0, text.size() - a.text(0, "suffix").size()) : text;
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
  if (name == "copy") return Value::dict(dict.items, dict.origin);
  std::vector<Value> items;
  for (const auto& [key, value] : dict.items)
    items.push_back(name == "keys" ? key : name == "values" ? value : Value::list({key, value}, dict.origin, true));
  return Value::list(std::move(items), dict.origin);
}

Value list_method(const List& list, const std::string& name, const Arguments& a) {
  if (name == "copy") return Value::list(list.items, list.origin);
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
