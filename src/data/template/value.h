// A value of the template language: Python's, as far as chat templates see them. Copies are cheap; containers are
// shared and, but for namespaces, never change once they are made.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "data/template/text.h"

namespace shardlora {

struct Statement;
class Value;

struct Undefined {
  std::string name;  // what was looked for
};
struct None {};
struct List {
  std::vector<Value> items;
  Origin origin;       // of the brackets when printed
  bool tuple = false;  // prints with parentheses
  int depth = 1;
  std::int64_t nodes = 1;  // values inside, counted as often as they are reached
};
struct Dict {
  std::vector<std::pair<Value, Value>> items;  // in the order of insertion
  Origin origin;
  int depth = 1;
  std::int64_t nodes = 1;  // values inside, counted as often as they are reached
  const Value* find(std::string_view key) const;
  const Value* find(const Value& key) const;
};
struct Namespace {
  std::vector<std::pair<std::string, Value>> items;
};
struct Loop {
  std::vector<Value> items;
  std::size_t index = 0;
  int depth = 0;  // of a recursive loop in itself
  std::vector<Value> last_changed;
  const Statement* again = nullptr;  // what loop(…) runs, where it may: a recursive loop that is going on
  void* scope = nullptr;             // and the interpreter's scope around it
};
// Something to call: a global function, a macro, or a method with its object.
struct Callable {
  enum class Kind : std::uint8_t { kGlobal, kMacro, kMethod };
  Kind kind;
  std::string name;
  const Statement* macro = nullptr;
  std::shared_ptr<const Value> self;
  // What a macro sees besides the template's own variables: those where it was written, as they were then.
  std::shared_ptr<const std::vector<std::pair<std::string, Value>>> closure;
};

class Value {
 public:
  using Storage = std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const Text>,
                               std::shared_ptr<const List>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
                               std::shared_ptr<Loop>, Callable>;
  Value() : storage_(None{}) {}
  template <typename T>
    requires std::is_constructible_v<Storage, T> && (!std::is_same_v<std::decay_t<T>, Value>)
  Value(T value) : storage_(std::move(value)) {}
  Value(Text text) : storage_(std::make_shared<const Text>(std::move(text))) {}

  static Value text(std::string_view bytes, Origin origin = {}) { return Text(bytes, origin); }
  static Value undefined(std::string name) { return Undefined{std::move(name)}; }
  // Nesting deeper than 100, more than 4 million values and namespaces inside are faults: what is built can be printed,
  // compared and freed.
  static Value list(std::vector<Value> items, Origin origin = {}, bool tuple = false);
  static Value dict(std::vector<std::pair<Value, Value>> items, Origin origin = {});

  template <typename T>
  const T* as() const {
    if constexpr (std::is_same_v<T, Text> || std::is_same_v<T, List> || std::is_same_v<T, Dict>) {
      const auto* shared = std::get_if<std::shared_ptr<const T>>(&storage_);
      return shared == nullptr ? nullptr : shared->get();
    } else {
      return std::get_if<T>(&storage_);
    }
  }
  template <typename T>
  T* shared() const {
    const auto* shared = std::get_if<std::shared_ptr<T>>(&storage_);
    return shared == nullptr ? nullptr : shared->get();
  }
  bool is_undefined() const { return as<Undefined>() != nullptr; }
  bool is_none() const { return as<None>() != nullptr; }

  bool truthy() const;
  std::string type_name() const;  // Python's: "str", "dict"
  // A whole number; bool counts.
  bool to_whole(std::int64_t& out) const;
  bool to_real(double& out) const;

 private:
  Storage storage_;
};

// Where the strings of a JSON value come from.
Value value_of(const nlohmann::ordered_json& json, Origin origin);
// messages[i]: what it says is content of message i, the rest its data.
Value value_of_messages(const nlohmann::ordered_json& messages);

bool equal(const Value& a, const Value& b);
// a < b of numbers, strings and lists; anything else is a fault.
bool less(const Value& a, const Value& b);
bool contains(const Value& container, const Value& item);
// The elements that a for loop visits; undefined has none.
std::vector<Value> iterate(const Value& value);
std::int64_t length(const Value& value);

// str(x), repr(x) and json.dumps(x, ensure_ascii=False).
Text to_text(const Value& value);
Text to_repr(const Value& value);
struct JsonStyle {
  int indent = -1;  // -1: one line
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false, ascii = false;
};
Text to_json(const Value& value, const JsonStyle& style);

}  // namespace shardlora
