// Runs a parsed template. One interpreter serves one rendering; steps are counted so that every run ends.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/template/syntax.h"

namespace shardlora {

// What a filter, test, method, function or macro is called with.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // The argument at `index` or under `name`; null: not given.
  const Value* get(std::size_t index, std::string_view name) const;
  const Value& need(std::size_t index, std::string_view name) const;
  const Text& text(std::size_t index, std::string_view name) const;
  std::int64_t whole(std::size_t index, std::string_view name, std::int64_t otherwise) const;
  bool flag(std::size_t index, std::string_view name, bool otherwise) const;
};

class Interpreter {
 public:
  explicit Interpreter(std::int64_t steps) : steps_left_(steps) {}
  void define(const std::string& name, Value value) { root_.set(name, std::move(value)); }
  void set_time(std::time_t now) { now_ = now; }

  Text run(const Template& parsed);
  int line() const { return line_; }  // where it is, or where it stopped

  // For filters that work on every element.
  Value apply_filter(std::string_view name, const Value& value, const Arguments& arguments);
  bool apply_test(std::string_view name, const Value& value, const Arguments& arguments);
  Value attribute(const Value& object, const std::string& name);
  Value item(const Value& object, const Value& key);
  // Counts one step and the bytes it touches.
  void spend(std::size_t bytes = 0);

 private:
  enum class Flow : unsigned char { kOn, kBreak, kContinue };
  struct Scope {
    Scope* parent = nullptr;
    std::vector<std::pair<std::string, Value>> variables;
    void set(const std::string& name, Value value);
    const Value* find(const std::string& name) const;
  };
  struct Level;

  Flow execute(const Body& body, Scope& scope, Text& out);
  Flow execute(const Statement& statement, Scope& scope, Text& out);
  Flow execute_for(const Statement& statement, const Value& items, Scope& scope, int depth, Text& out);
  Value through_filters(const Statement& statement, Text written, Scope& scope);
  Value macro_of(const Statement& statement, const Scope& scope);
  void bind(const std::vector<std::string>& names, const Value& value, Scope& scope);
  void assign(const Statement& statement, Value value, Scope& scope);

  Value evaluate(const Expression& e, Scope& scope);
  Value evaluate_call(const Expression& e, Scope& scope, const Value* caller = nullptr);
  Value evaluate_slice(const Expression& e, Scope& scope);
  Value evaluate_compare(const Expression& e, Scope& scope);
  Value lookup(const Expression& e, Scope& scope);
  Arguments arguments_of(const Expression& e, std::size_t first, Scope& scope);
  Value call_macro(const Callable& macro, Arguments arguments);
  Value call_global(const std::string& name, const Arguments& arguments);
  Value call_loop(Loop& loop, const std::string& name, const Arguments& arguments);
  Value call_loop_again(const Loop& loop, const Arguments& arguments);

  Scope root_;
  std::int64_t steps_left_;
  int line_ = 1, depth_ = 0;
  std::int32_t generations_ = 0;
  std::time_t now_ = 0;
};

// A fault where `value` cannot be an attribute of a namespace, which could then come to hold itself.
void check_attribute(const Value& value);

// Tables of filters.cpp, tests.cpp and methods.cpp. Null: unknown.
using Filter = Value (*)(Interpreter&, const Value&, const Arguments&);
using Test = bool (*)(Interpreter&, const Value&, const Arguments&);
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);
std::string filter_names();
std::string test_names();
bool has_method(const Value& object, std::string_view name);
Value call_method(Interpreter& interpreter, const Value& object, const std::string& name, const Arguments& arguments);
// Python's formatting: "%s: %d" % values, and "{}: {name}".format(...).
Text percent_format(const Text& format, const Value& values);
Text brace_format(Interpreter& interpreter, const Text& format, const Arguments& arguments);
// + - * / // % **
Value binary(const std::string& op, const Value& a, const Value& b);

}  // namespace shardlora
