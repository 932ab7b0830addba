// What a template calls: loop functions, macros, global functions, and filters and tests by name.
#include <algorithm>
#include <array>
#include <ctime>
#include "data/template/interpreter.h"

namespace shardlora {

Arguments Interpreter::arguments_of(const Expression& e, std::size_t first, Scope& scope) {
  Arguments arguments;
  for (std::size_t i = first; i < e.args.size(); ++i) {
    const Expression& argument = *e.args[i];
    if (argument.kind != Expression::Kind::kSpread) {
      arguments.positional.push_back(evaluate(argument, scope));
      continue;
    }
    const Value many = evaluate(*argument.args[0], scope);
    if (argument.name == "*") {
      for (Value& value : iterate(many)) arguments.positional.push_back(std::move(value));
      continue;
    }
    if (many.as<Dict>() == nullptr) fault("'**' needs a dict, not a ", many.type_name());
    for (const auto& [key, value] : many.as<Dict>()->items) arguments.named.emplace_back(to_text(key).bytes(), value);
  }
  for (const auto& [name, value] : e.named) arguments.named.emplace_back(name, evaluate(*value, scope));
  return arguments;
}

Value Interpreter::evaluate_call(const Expression& e, Scope& scope, const Value* caller) {
  const Value callee = evaluate(*e.args[0], scope);
  Arguments arguments = arguments_of(e, 1, scope);
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  line_ = e.line;
  if (const Undefined* undefined = callee.as<Undefined>()) fault(undefined->name, ", so it cannot be called");
  if (const Loop* loop = callee.shared<Loop>()) return call_loop_again(*loop, arguments);
  const Callable* callable = callee.as<Callable>();
  if (callable == nullptr) fault("a ", callee.type_name(), " cannot be called");
  switch (callable->kind) {
    case Callable::Kind::kGlobal: return call_global(callable->name, arguments);
    case Callable::Kind::kMacro: return call_macro(*callable, std::move(arguments));
    case Callable::Kind::kMethod: break;
  }
  if (Loop* loop = callable->self->shared<Loop>()) return call_loop(*loop, callable->name, arguments);
  return call_method(*this, *callable->self, callable->name, arguments);
}

Value Interpreter::call_loop(Loop& loop, const std::string& name, const Arguments& arguments) {
  if (name == "cycle") {
    if (arguments.positional.empty()) fault("loop.cycle needs at least one value");
    return arguments.positional[loop.index % arguments.positional.size()];
  }
  const auto& now = arguments.positional;
  const bool same =
      loop.index > 0 && std::equal(now.begin(), now.end(), loop.last_changed.begin(), loop.last_changed.end(), equal);
  for (const Value& value : now) {
    if (value.shared<Loop>() != nullptr || value.shared<Namespace>() != nullptr || value.as<Callable>() != nullptr)
      fault("loop.changed takes no ", value.type_name());
  }
  loop.last_changed = now;
  return !same;
}

Value Interpreter::call_loop_again(const Loop& loop, const Arguments& arguments) {
  if (loop.again == nullptr) fault("loop() may be called in a {% for … recursive %} only");
  Text out;
  execute_for(*loop.again, arguments.need(0, "iterable"), *static_cast<Scope*>(loop.scope), loop.depth + 1, out);
  return out;
}

Value Interpreter::call_macro(const Callable& callable, Arguments arguments) {
  const Statement& macro = *callable.macro;
  Scope around{&root_, {}};
  if (callable.closure) {
    around.variables = *callable.closure;
    around.set(macro.name, callable);
  }
  Scope scope{&around, {}};
  const std::size_t required = macro.names.size() - macro.defaults.size();
  for (std::size_t i = 0; i < macro.names.size(); ++i) {
    const Value* given = arguments.get(i, macro.names[i]);
    if (given != nullptr)
      scope.set(macro.names[i], *given);
    else if (i >= required)
      scope.set(macro.names[i], evaluate(*macro.defaults[i - required], scope));
    else
      scope.set(macro.names[i], Value::undefined("parameter '" + macro.names[i] + "' was not given"));
  }
  std::vector<Value> more;
  std::vector<std::pair<Value, Value>> named;
  for (std::size_t i = macro.names.size(); i < arguments.positional.size(); ++i)
    more.push_back(std::move(arguments.positional[i]));
  for (auto& [name, value] : arguments.named) {
    if (std::find(macro.names.begin(), macro.names.end(), name) != macro.names.end()) continue;
    if (name == "caller")
      scope.set(name, std::move(value));
    else if (macro.takes_more)
      named.emplace_back(Text(name, {}), std::move(value));
    else
      fault("the macro ", macro.name, " has no parameter '", name, "'");
  }
  if (!more.empty() && !macro.takes_more)
    fault("the macro ", macro.name, " takes ", std::to_string(macro.names.size()), " arguments, not ",
          std::to_string(arguments.positional.size()));
  if (macro.takes_more) {
    scope.set("varargs", Value::list(std::move(more), {}, true));
    scope.set("kwargs", Value::dict(std::move(named)));
  }
  Text out;
  execute(macro.body, scope, out);
  return out;
}

Value Interpreter::call_global(const std::string& name, const Arguments& arguments) {
  if (name == "raise_exception") fault(to_text(arguments.need(0, "message")).bytes());
  if (name == "namespace" || name == "dict") {
    std::vector<std::pair<Value, Value>> items;
    if (const Value* base = arguments.get(0, "")) {
      if (base->as<Dict>() == nullptr) fault(name, "() takes a dict, not a ", base->type_name());
      items = base->as<Dict>()->items;
    }
    for (const auto& [key, value] : arguments.named) items.emplace_back(Text(key, {}), value);
    if (name == "dict") return Value::dict(std::move(items));
    auto space = std::make_shared<Namespace>();
    for (auto& [key, value] : items) {
      check_attribute(value);
      space->items.emplace_back(to_text(key).bytes(), std::move(value));
    }
    return space;
  }
  if (name == "strftime_now") {
    std::tm utc{};
    ::gmtime_r(&now_, &utc);  // not the local time: every machine must write the same
    std::array<char, 512> text{};
    const std::size_t size = std::strftime(text.data(), text.size(), arguments.text(0, "format").bytes().c_str(), &utc);
    return Value::text(std::string_view(text.data(), size));
  }
  // range
  std::int64_t begin = 0, end = 0, step = arguments.whole(2, "step", 1);
  if (arguments.positional.size() < 2) {
    end = arguments.whole(0, "stop", 0);
  } else {
    begin = arguments.whole(0, "start", 0);
    end = arguments.whole(1, "stop", 0);
  }
  if (step == 0) fault("range() needs a step that is not zero");
  std::vector<Value> items;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (items.size() == 100000) fault("range() of more than 100000 numbers");
    spend();
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::list(std::move(items));
}

Value Interpreter::apply_filter(std::string_view name, const Value& value, const Arguments& arguments) {
  const Filter filter = find_filter(name);
  if (filter == nullptr) fault("unknown filter '", std::string(name), "'; known are ", filter_names());
  if (const Text* text = value.as<Text>()) spend(text->size());
  if (const List* list = value.as<List>()) spend(list->items.size() * 64);
  Value result = filter(*this, value, arguments);
  if (const Text* text = result.as<Text>()) spend(text->size());
  return result;
}

bool Interpreter::apply_test(std::string_view name, const Value& value, const Arguments& arguments) {
  const Test test = find_test(name);
  if (test == nullptr) fault("unknown test '", std::string(name), "'; known are ", test_names());
  spend();
  return test(*this, value, arguments);
}
}  // namespace shardlora
