// What a template calls: loop functions, macros, global functions, and filters and tests by name.
#include <algorithm>
#include <array>
#include <ctime>
#include "data/template/interpreter.h"

namespace shardlora {

Arguments Interpreter::arguments_of(const Expression& e, std::size_t first, Scope& scope) {
  Arguments arguments;
  for (std::size_t i = first; i < e.args.size(); ++i) arguments.positional.push_back(evaluate(*e.args[i], scope));
  for (const auto& [name, value] : e.named) arguments.named.emplace_back(name, evaluate(*value, scope));
  return arguments;
}

Value Interpreter::evaluate_call(const Expression& e, Scope& scope) {
  const Value callee = evaluate(*e.args[0], scope);
  const Arguments arguments = arguments_of(e, 1, scope);
  line_ = e.line;
  if (const Undefined* undefined = callee.as<Undefined>()) fault(undefined->name, ", so it cannot be called");
  const Callable* callable = callee.as<Callable>();
  if (callable == nullptr) fault("a ", callee.type_name(), " cannot be called");
  switch (callable->kind) {
    case Callable::Kind::kGlobal: return call_global(callable->name, arguments);
    case Callable::Kind::kMacro: return call_macro(*callable->macro, arguments);
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

Value Interpreter::call_macro(const Statement& macro, const Arguments& arguments) {
  if (arguments.positional.size() > macro.names.size())
    fault("the macro ", macro.name, " takes ", std::to_string(macro.names.size()), " arguments, not ",
          std::to_string(arguments.positional.size()));
  for (const auto& [name, value] : arguments.named) {
    if (std::find(macro.names.begin(), macro.names.end(), name) == macro.names.end())
      fault("the macro ", macro.name, " has no parameter '", name, "'");
  }
  Scope scope{&root_, {}};
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
      if (value.shared<Namespace>() != nullptr) fault("a namespace cannot be put in a namespace here");
      space->items.emplace_back(to_text(key).bytes(), std::move(value));
    }
    return space;
  }
  if (name == "strftime_now") {
    std::tm local{};
    ::localtime_r(&*now_, &local);
    std::array<char, 512> text{};
    const std::size_t size =
        std::strftime(text.data(), text.size(), arguments.text(0, "format").bytes().c_str(), &local);
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
  for (std::int64_t i = begin; step > 0 ? i < end : i > end; i += step) {
    if (items.size() == 100000) fault("range() of more than 100000 numbers");
    spend();
    items.emplace_back(i);
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
