#include "data/template/value.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace shardlora {
namespace {

constexpr int kMaxDepth = 100;
constexpr std::int64_t kMaxNodes = 1 << 22;

// Adds what `inside` holds to the measures of the container around it.
template <typename Container>
void measure(Container& container, const Value& inside) {
  // They could come to hold themselves; a macro of the template's top level, or one of its functions, cannot.
  const Callable* callable = inside.as<Callable>();
  if (inside.shared<Namespace>() != nullptr || inside.shared<Loop>() != nullptr ||
      (callable != nullptr && (callable->closure || callable->self)))
    fault("a ", inside.type_name(), " cannot be put in a list or dict here");
  int depth = 0;
  std::int64_t nodes = 1;
  if (const List* list = inside.as<List>()) depth = list->depth, nodes = list->nodes;
  if (const Dict* dict = inside.as<Dict>()) depth = dict->depth, nodes = dict->nodes;
  container.depth = std::max(container.depth, depth + 1);
  container.nodes += nodes;
  if (container.depth > kMaxDepth) fault("lists and dicts nested deeper than ", std::to_string(kMaxDepth));
}

// Of keys that a JSON parser has already found to be different: looking for doubles would take the square of their
// number.
Value dict_of_unique(std::vector<std::pair<Value, Value>> items, Origin origin) {
  Dict dict{std::move(items), origin};
  for (const auto& [key, value] : dict.items) measure(dict, value);
  return std::shared_ptr<const Dict>(std::make_shared<Dict>(std::move(dict)));
}

Value list_of(std::vector<Value> items, Origin origin, bool tuple, std::int64_t max_nodes) {
  List list{std::move(items), origin, tuple};
  for (const Value& item : list.items) measure(list, item);
  if (list.nodes > max_nodes) fault("a list of more than ", std::to_string(max_nodes), " values");
  return std::shared_ptr<const List>(std::make_shared<List>(std::move(list)));
}

}  // namespace

Value Value::list(std::vector<Value> items, Origin origin, bool tuple) {
  return list_of(std::move(items), origin, tuple, kMaxNodes);
}

Value Value::dict(std::vector<std::pair<Value, Value>> items, Origin origin) {
  Dict dict{{}, origin};
  for (auto& [key, value] : items) {
    measure(dict, key);
    measure(dict, value);
    const auto same = std::find_if(dict.items.begin(), dict.items.end(),
                                   [&key = key](const auto& item) { return equal(item.first, key); });
    if (same != dict.items.end())
      same->second = std::move(value);
    else
      dict.items.emplace_back(std::move(key), std::move(value));
  }
  if (dict.nodes > kMaxNodes) fault("a dict of more than ", std::to_string(kMaxNodes), " values");
  return std::shared_ptr<const Dict>(std::make_shared<Dict>(std::move(dict)));
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : items) {
    if (const Text* text = name.as<Text>(); text != nullptr && text->bytes() == key) return &value;
  }
  return nullptr;
}

const Value* Dict::find(const Value& key) const {
  for (const auto& [name, value] : items) {
    if (equal(name, key)) return &value;
  }
  return nullptr;
}

bool Value::truthy() const {
  if (is_undefined() || is_none()) return false;
  if (const bool* b = as<bool>()) return *b;
  if (const auto* i = as<std::int64_t>()) return *i != 0;
  if (const double* d = as<double>()) return *d != 0;
  if (const Text* text = as<Text>()) return !text->empty();
  if (const List* list = as<List>()) return !list->items.empty();
  if (const Dict* dict = as<Dict>()) return !dict->items.empty();
  return true;
}

std::string Value::type_name() const {
  constexpr std::array<const char*, 11> kNames{"Undefined", "NoneType", "bool",      "int",         "float",   "str",
                                               "list",      "dict",     "Namespace", "LoopContext", "function"};
  if (const List* list = as<List>(); list != nullptr && list->tuple) return "tuple";
  return kNames[storage_.index()];
}

bool Value::to_whole(std::int64_t& out) const {
  if (const bool* b = as<bool>()) return out = *b, true;
  if (const auto* i = as<std::int64_t>()) return out = *i, true;
  return false;
}

bool Value::to_real(double& out) const {
  if (const double* d = as<double>()) return out = *d, true;
  std::int64_t whole = 0;
  if (!to_whole(whole)) return false;
  out = static_cast<double>(whole);
  return true;
}

Value value_of(const nlohmann::ordered_json& json, Origin origin) {
  using Type = nlohmann::ordered_json::value_t;
  switch (json.type()) {
    case Type::boolean: return json.get<bool>();
    case Type::number_integer: return json.get<std::int64_t>();
    case Type::number_unsigned:
      if (json.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        fault("the number ", json.dump(), " is too large for this version");
      return json.get<std::int64_t>();
    case Type::number_float: return json.get<double>();
    case Type::string: return Text(json.get_ref<const std::string&>(), origin);
    case Type::array: {
      std::vector<Value> items;
      for (const auto& item : json) items.push_back(value_of(item, origin));
      return list_of(std::move(items), origin, false, std::numeric_limits<std::int64_t>::max());
    }
    case Type::object: {
      std::vector<std::pair<Value, Value>> items;
      for (const auto& [key, item] : json.items()) items.emplace_back(Text(key, origin), value_of(item, origin));
      return dict_of_unique(std::move(items), origin);
    }
    default: return None{};
  }
}

namespace {

using Json = nlohmann::ordered_json;

// A call, or its "function": what is called and with which arguments are parts of their own.
Value value_of_call(const Json& call, std::int32_t message, std::size_t k) {
  const Origin other{.kind = Origin::Kind::kContent, .message = message};
  if (!call.is_object()) return value_of(call, other);
  std::vector<std::pair<Value, Value>> items;
  for (const auto& [key, item] : call.items()) {
    Origin origin = other;
    if (key == "name") origin.part = Origin::name_of_call(k);
    if (key == "arguments") origin.part = Origin::arguments_of_call(k);
    items.emplace_back(Text(key, other), key == "function" ? value_of_call(item, message, k) : value_of(item, origin));
  }
  return dict_of_unique(std::move(items), other);
}

// What stands under one key of a message.
Value value_of_field(const std::string& key, const Json& item, std::int32_t message) {
  constexpr std::array<std::string_view, 3> kThoughts{"reasoning_content", "reasoning", "thinking"};
  Origin origin{.kind = Origin::Kind::kContent, .message = message};
  if (key == "function_call") return value_of_call(item, message, 0);
  if ((key == "tool_calls" || key == "content") && item.is_array()) {
    std::vector<Value> list;
    for (const Json& part : item) {
      origin.part = Origin::part_of_list(list.size());
      list.push_back(key == "content" ? value_of(part, origin) : value_of_call(part, message, list.size()));
    }
    origin.part = 0;
    return list_of(std::move(list), origin, false, std::numeric_limits<std::int64_t>::max());
  }
  if (std::find(kThoughts.begin(), kThoughts.end(), key) != kThoughts.end())
    origin.part = Origin::kThoughts;
  else if (key == "content")
    origin.part = Origin::kText;
  else if (key != "tool_calls")
    origin.kind = Origin::Kind::kData;
  return value_of(item, origin);
}

}  // namespace

Value value_of_messages(const Json& messages) {
  std::vector<Value> list;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const auto index = static_cast<std::int32_t>(i);
    const Origin data{Origin::Kind::kData, index};
    std::vector<std::pair<Value, Value>> items;
    for (const auto& [key, item] : messages[i].items())
      items.emplace_back(Text(key, data), value_of_field(key, item, index));
    list.push_back(dict_of_unique(std::move(items), data));
  }
  return list_of(std::move(list), {Origin::Kind::kData, -1}, false, std::numeric_limits<std::int64_t>::max());
}

bool equal(const Value& a, const Value& b) {
  double x = 0, y = 0;
  std::int64_t i = 0, j = 0;
  if (a.to_whole(i) && b.to_whole(j)) return i == j;
  if (a.to_real(x) && b.to_real(y)) return x == y;
  if (const Text* text = a.as<Text>()) return b.as<Text>() != nullptr && text->bytes() == b.as<Text>()->bytes();
  if (const List* list = a.as<List>()) {
    const List* other = b.as<List>();
    return other != nullptr && list->tuple == other->tuple &&
           std::equal(list->items.begin(), list->items.end(), other->items.begin(), other->items.end(), equal);
  }
  if (const Dict* dict = a.as<Dict>()) {
    const Dict* other = b.as<Dict>();
    if (other == nullptr || dict->items.size() != other->items.size()) return false;
    return std::all_of(dict->items.begin(), dict->items.end(), [&](const auto& item) {
      const Value* value = other->find(item.first);
      return value != nullptr && equal(item.second, *value);
    });
  }
  if (a.shared<Namespace>() != nullptr) return a.shared<Namespace>() == b.shared<Namespace>();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

bool less(const Value& a, const Value& b) {
  std::int64_t i = 0, j = 0;
  if (a.to_whole(i) && b.to_whole(j)) return i < j;
  double x = 0, y = 0;
  if (a.to_real(x) && b.to_real(y)) return x < y;
  // Bytes of UTF-8 sort as code points do.
  if (a.as<Text>() != nullptr && b.as<Text>() != nullptr) return a.as<Text>()->bytes() < b.as<Text>()->bytes();
  if (a.as<List>() != nullptr && b.as<List>() != nullptr) {
    const auto &left = a.as<List>()->items, &right = b.as<List>()->items;
    return std::lexicographical_compare(left.begin(), left.end(), right.begin(), right.end(), less);
  }
  fault("a ", a.type_name(), " and a ", b.type_name(), " have no order");
}

bool contains(const Value& container, const Value& item) {
  if (const Text* text = container.as<Text>()) {
    const Text* part = item.as<Text>();
    if (part == nullptr) fault("'in' of a string needs a string on its left, not a ", item.type_name());
    return text->bytes().find(part->bytes()) != std::string::npos;
  }
  if (const Dict* dict = container.as<Dict>()) return dict->find(item) != nullptr;
  const std::vector<Value> items = iterate(container);
  return std::any_of(items.begin(), items.end(), [&](const Value& other) { return equal(item, other); });
}

std::vector<Value> iterate(const Value& value) {
  if (const List* list = value.as<List>()) return list->items;
  std::vector<Value> items;
  if (const Dict* dict = value.as<Dict>()) {
    for (const auto& [key, item] : dict->items) items.push_back(key);
  } else if (const Text* text = value.as<Text>()) {
    for (const TextCharacter& c : characters(text->bytes())) items.emplace_back(text->slice(c.begin, c.end));
  } else if (!value.is_undefined()) {
    fault("a ", value.type_name(), " cannot be looped over");
  }
  return items;
}

std::int64_t length(const Value& value) {
  if (const Text* text = value.as<Text>()) return static_cast<std::int64_t>(characters(text->bytes()).size());
  if (const List* list = value.as<List>()) return static_cast<std::int64_t>(list->items.size());
  if (const Dict* dict = value.as<Dict>()) return static_cast<std::int64_t>(dict->items.size());
  if (const Loop* loop = value.shared<Loop>()) return static_cast<std::int64_t>(loop->items.size());
  if (value.is_undefined()) return 0;
  fault("a ", value.type_name(), " has no length");
}

}  // namespace shardlora
