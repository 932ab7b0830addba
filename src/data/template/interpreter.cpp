#include "data/template/interpreter.h"

#include <algorithm>
#include <array>
#include <ctime>

namespace shardlora {
namespace {

constexpr int kMaxDepth = 400;
constexpr std::array<std::string_view, 5> kGlobals{"range", "namespace", "dict", "raise_exception", "strftime_now"};

Value loop_attribute(const Loop& loop, const std::string& name) {
  const auto size = static_cast<std::int64_t>(loop.items.size()), index = static_cast<std::int64_t>(loop.index);
  if (name == "index") return index + 1;
  if (name == "index0") return index;
  if (name == "revindex") return size - index;
  if (name == "revindex0") return size - index - 1;
  if (name == "first") return index == 0;
  if (name == "last") return index + 1 == size;
  if (name == "length") return size;
  if (name == "depth") return std::int64_t{loop.depth} + 1;
  if (name == "depth0") return std::int64_t{loop.depth};
  if (name == "previtem") return index > 0 ? loop.items[loop.index - 1] : Value::undefined("there is no previous item");
  if (name == "nextitem")
    return index + 1 < size ? loop.items[loop.index + 1] : Value::undefined("there is no next item");
  return Value::undefined(name);
}

}  // namespace

const Value* Arguments::get(std::size_t index, std::string_view name) const {
  if (index < positional.size()) return &positional[index];
  for (const auto& [key, value] : named) {
    if (key == name) return &value;
  }
  return nullptr;
}
const Value& Arguments::need(std::size_t index, std::string_view name) const {
  const Value* value = get(index, name);
  if (value == nullptr) fault("the argument '", std::string(name), "' is missing");
  return *value;
}
const Text& Arguments::text(std::size_t index, std::string_view name) const {
  const Value& value = need(index, name);
  if (value.as<Text>() == nullptr)
    fault("the argument '", std::string(name), "' must be a string, not a ", value.type_name());
  return *value.as<Text>();
}
std::int64_t Arguments::whole(std::size_t index, std::string_view name, std::int64_t otherwise) const {
  const Value* value = get(index, name);
  if (value == nullptr || value->is_none()) return otherwise;
  std::int64_t number = 0;
  if (!value->to_whole(number))
    fault("the argument '", std::string(name), "' must be a whole number, not a ", value->type_name());
  return number;
}
bool Arguments::flag(std::size_t index, std::string_view name, bool otherwise) const {
  const Value* value = get(index, name);
  return value == nullptr ? otherwise : value->truthy();
}

void Interpreter::Scope::set(const std::string& name, Value value) {
  for (auto& [key, old] : variables) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

const Value* Interpreter::Scope::find(const std::string& name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent) {
    for (const auto& [key, value] : scope->variables) {
      if (key == name) return &value;
    }
  }
  return nullptr;
}

void check_attribute(const Value& value) {
  if (value.shared<Namespace>() != nullptr) fault("a namespace cannot be put in a namespace here");
  if (const Callable* callable = value.as<Callable>(); callable != nullptr && callable->closure)
    fault("a macro that is defined inside of something cannot be put in a namespace here");
}

// One level of the interpreter's own recursion.
struct Interpreter::Level {
  explicit Level(int& depth) : depth(depth) {
    if (++depth > kMaxDepth) fault("calls and expressions nested deeper than ", std::to_string(kMaxDepth));
  }
  ~Level() { --depth; }
  int& depth;
};

void Interpreter::spend(std::size_t bytes) {
  steps_left_ -= 1 + static_cast<std::int64_t>(bytes / 64);
  if (steps_left_ < 0) fault("the template takes too many steps; does a loop grow without end?");
}

Text Interpreter::run(const Template& parsed) {
  Text out;
  execute(parsed.body, root_, out);
  return out;
}

Interpreter::Flow Interpreter::execute(const Body& body, Scope& scope, Text& out) {
  for (const auto& statement : body) {
    if (const Flow flow = execute(*statement, scope, out); flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

Interpreter::Flow Interpreter::execute(const Statement& s, Scope& scope, Text& out) {
  const Level level(depth_);
  line_ = s.line;
  spend(s.text.size());
  switch (s.kind) {
    case Statement::Kind::kText: out.append(s.text, {}); break;
    case Statement::Kind::kOutput: {
      const Text text = to_text(evaluate(*s.expression, scope));
      spend(text.size());
      out.append(text);
      break;
    }
    case Statement::Kind::kIf:
      for (const Statement::Branch& branch : s.branches) {
        if (!branch.condition || evaluate(*branch.condition, scope).truthy()) return execute(branch.body, scope, out);
      }
      break;
    case Statement::Kind::kFor: return execute_for(s, evaluate(*s.expression, scope), scope, 0, out);
    case Statement::Kind::kSet: assign(s, evaluate(*s.expression, scope), scope); break;
    case Statement::Kind::kSetBlock: {
      Text written;
      Scope inner{&scope, {}};
      execute(s.body, inner, written);
      assign(s, through_filters(s, std::move(written), inner), scope);
      break;
    }
    case Statement::Kind::kFilterBlock: {
      Text written;
      Scope inner{&scope, {}};
      execute(s.body, inner, written);
      out.append(to_text(through_filters(s, std::move(written), inner)));
      break;
    }
    case Statement::Kind::kWith: {
      Scope inner{&scope, {}};
      for (std::size_t i = 0; i < s.names.size(); ++i) inner.set(s.names[i], evaluate(*s.defaults[i], scope));
      return execute(s.body, inner, out);
    }
    case Statement::Kind::kMacro: scope.set(s.name, macro_of(s, scope)); break;
    case Statement::Kind::kCallBlock: {
      const Value caller = macro_of(s, scope);
      out.append(to_text(evaluate_call(*s.expression, scope, &caller)));
      break;
    }
    case Statement::Kind::kGeneration: {
      Scope inner{&scope, {}};
      const std::int32_t number = ++generations_;
      Text written;
      const Flow flow = execute(s.body, inner, written);
      written.mark_generation(number);
      out.append(written);
      return flow;
    }
    case Statement::Kind::kBreak: return Flow::kBreak;
    case Statement::Kind::kContinue: return Flow::kContinue;
  }
  return Flow::kOn;
}

Value Interpreter::through_filters(const Statement& s, Text written, Scope& scope) {
  if (!s.expression) return written;
  scope.set("", std::move(written));
  return evaluate(*s.expression, scope);
}

Value Interpreter::macro_of(const Statement& s, const Scope& scope) {
  Callable macro{Callable::Kind::kMacro, s.name, &s, nullptr, nullptr};
  if (&scope == &root_) return macro;
  std::vector<std::pair<std::string, Value>> seen;
  for (const Scope* at = &scope; at != nullptr && at != &root_; at = at->parent)
    seen.insert(seen.begin(), at->variables.begin(), at->variables.end());
  spend(seen.size() * 64);
  macro.closure = std::make_shared<const std::vector<std::pair<std::string, Value>>>(std::move(seen));
  return macro;
}

Interpreter::Flow Interpreter::execute_for(const Statement& s, const Value& items, Scope& scope, int depth, Text& out) {
  auto loop = std::make_shared<Loop>();
  // A loop that outlives its run, in a namespace or a closure, must not run again.
  struct Ended {
    Loop& loop;
    ~Ended() { loop.again = nullptr; }
  } const ended{*loop};
  loop->depth = depth;
  if (s.recursive) loop->again = &s, loop->scope = &scope;
  for (Value& item : iterate(items)) {
    spend();
    if (s.test) {
      Scope inner{&scope, {}};
      bind(s.names, item, inner);
      if (!evaluate(*s.test, inner).truthy()) continue;
    }
    loop->items.push_back(std::move(item));
  }
  if (loop->items.empty()) return execute(s.else_body, scope, out);
  for (loop->index = 0; loop->index < loop->items.size(); ++loop->index) {
    spend();
    Scope inner{&scope, {}};
    inner.set("loop", loop);
    bind(s.names, loop->items[loop->index], inner);
    if (execute(s.body, inner, out) == Flow::kBreak) break;
  }
  return Flow::kOn;
}

void Interpreter::bind(const std::vector<std::string>& names, const Value& value, Scope& scope) {
  if (names.size() == 1) return scope.set(names[0], value);
  const std::vector<Value> parts = iterate(value);
  if (parts.size() != names.size())
    fault("a value of ", std::to_string(parts.size()), " parts cannot be given to ", std::to_string(names.size()),
          " names");
  for (std::size_t i = 0; i < names.size(); ++i) scope.set(names[i], parts[i]);
}

void Interpreter::assign(const Statement& s, Value value, Scope& scope) {
  if (s.attribute.empty()) return bind(s.names, value, scope);
  const Value* target = scope.find(s.names[0]);
  Namespace* space = target == nullptr ? nullptr : target->shared<Namespace>();
  if (space == nullptr) fault("'", s.names[0], "' is no namespace(); only a namespace's attributes can be set");
  check_attribute(value);
  for (auto& [key, old] : space->items) {
    if (key == s.attribute) {
      old = std::move(value);
      return;
    }
  }
  space->items.emplace_back(s.attribute, std::move(value));
}

Value Interpreter::lookup(const Expression& e, Scope& scope) {
  if (const Value* value = scope.find(e.name)) return *value;
  if (std::find(kGlobals.begin(), kGlobals.end(), e.name) != kGlobals.end())
    return Callable{Callable::Kind::kGlobal, e.name, nullptr, nullptr, nullptr};
  return Value::undefined("'" + e.name + "' is undefined");
}

Value Interpreter::evaluate(const Expression& e, Scope& scope) {
  using Kind = Expression::Kind;
  const Level level(depth_);
  line_ = e.line;
  spend();
  const auto arg = [&](std::size_t i) { return evaluate(*e.args[i], scope); };
  switch (e.kind) {
    case Kind::kConstant: return e.value;
    case Kind::kName: return lookup(e, scope);
    case Kind::kList:
    case Kind::kTuple: {
      std::vector<Value> items;
      for (const ExpressionPtr& item : e.args) items.push_back(evaluate(*item, scope));
      return Value::list(std::move(items), {}, e.kind == Kind::kTuple);
    }
    case Kind::kDict: {
      std::vector<std::pair<Value, Value>> items;
      for (std::size_t i = 0; i < e.args.size(); i += 2) {
        Value key = arg(i);
        items.emplace_back(std::move(key), arg(i + 1));
      }
      return Value::dict(std::move(items));
    }
    case Kind::kAttribute: {
      const Value object = arg(0);
      line_ = e.line;
      return attribute(object, e.name);
    }
    case Kind::kItem: {
      const Value object = arg(0), key = arg(1);
      line_ = e.line;
      return item(object, key);
    }
    case Kind::kSlice: return evaluate_slice(e, scope);
    case Kind::kCall: return evaluate_call(e, scope);
    case Kind::kFilter: {
      const Value value = arg(0);
      const Arguments arguments = arguments_of(e, 1, scope);
      line_ = e.line;
      return apply_filter(e.name, value, arguments);
    }
    case Kind::kTest: {
      const Value value = arg(0);
      const Arguments arguments = arguments_of(e, 1, scope);
      line_ = e.line;
      return apply_test(e.name, value, arguments);
    }
    case Kind::kSpread: fault("'", e.name, "' belongs in the arguments of a call");
    case Kind::kNot: return !arg(0).truthy();
    case Kind::kMinus: return binary("-", std::int64_t{0}, arg(0));
    case Kind::kPlus: return binary("+", std::int64_t{0}, arg(0));
    case Kind::kAnd: {
      const Value left = arg(0);
      return left.truthy() ? arg(1) : left;
    }
    case Kind::kOr: {
      const Value left = arg(0);
      return left.truthy() ? left : arg(1);
    }
    case Kind::kCondition:
      if (arg(0).truthy()) return arg(1);
      return e.args[2] ? arg(2) : Value::undefined("an 'if' without 'else' gave nothing");
    case Kind::kConcat: {
      Text joined;
      for (const ExpressionPtr& part : e.args) joined.append(to_text(evaluate(*part, scope)));
      spend(joined.size());
      return joined;
    }
    case Kind::kBinary: {
      const Value a = arg(0), b = arg(1);
      line_ = e.line;
      Value result = binary(e.name, a, b);
      if (const Text* text = result.as<Text>()) spend(text->size());
      if (const List* list = result.as<List>()) spend(list->items.size() * 64);
      return result;
    }
    case Kind::kCompare: return evaluate_compare(e, scope);
  }
  return {};
}

Value Interpreter::evaluate_compare(const Expression& e, Scope& scope) {
  Value left = evaluate(*e.args[0], scope);
  for (std::size_t i = 0; i < e.operators.size(); ++i) {
    const Value right = evaluate(*e.args[i + 1], scope);
    line_ = e.line;
    for (const Value* side : std::array<const Value*, 2>{&left, &right}) {
      if (const Text* text = side->as<Text>()) spend(text->size());
      if (const List* list = side->as<List>()) spend(static_cast<std::size_t>(list->nodes) * 64);
      if (const Dict* dict = side->as<Dict>()) spend(static_cast<std::size_t>(dict->nodes) * 64);
    }
    const std::string& op = e.operators[i];
    const bool holds = op == "=="   ? equal(left, right)
                       : op == "!=" ? !equal(left, right)
                       : op == "<"  ? less(left, right)
                       : op == ">"  ? less(right, left)
                       : op == "<=" ? !less(right, left)
                       : op == ">=" ? !less(left, right)
                       : op == "in" ? contains(right, left)
                                    : !contains(right, left);
    if (!holds) return false;
    left = right;
  }
  return true;
}

Value Interpreter::evaluate_slice(const Expression& e, Scope& scope) {
  const Value object = evaluate(*e.args[0], scope);
  std::array<std::optional<std::int64_t>, 3> parts;
  for (std::size_t i = 0; i < 3; ++i) {
    if (!e.args[i + 1]) continue;
    const Value value = evaluate(*e.args[i + 1], scope);
    std::int64_t number = 0;
    if (value.is_none()) continue;
    if (!value.to_whole(number)) fault("a slice needs whole numbers, not a ", value.type_name());
    parts[i] = number;
  }
  line_ = e.line;
  if (object.as<Text>() == nullptr && object.as<List>() == nullptr)
    fault("a ", object.type_name(), " cannot be sliced");
  const std::int64_t size = length(object);
  // A step beyond the end is a step beyond the end; so `i += step` below can't overflow.
  const std::int64_t step = std::clamp<std::int64_t>(parts[2].value_or(1), -size - 1, size + 1);
  if (step == 0) fault("a slice's step must not be zero");
  // Python's rules: negative places count from the end, and everything is cut to what is there.
  const auto place = [&](std::optional<std::int64_t> part, std::int64_t otherwise) {
    if (!part) return otherwise;
    const std::int64_t at = *part < 0 ? *part + size : *part;
    return step > 0 ? std::clamp<std::int64_t>(at, 0, size) : std::clamp<std::int64_t>(at, -1, size - 1);
  };
  const std::int64_t begin = place(parts[0], step > 0 ? 0 : size - 1), end = place(parts[1], step > 0 ? size : -1);
  if (const Text* text = object.as<Text>()) {
    spend(text->size());
    const std::vector<TextCharacter> all = characters(text->bytes());
    const auto offset = [&](std::int64_t i) {
      return i < size ? all[static_cast<std::size_t>(i)].begin : text->size();
    };
    if (step == 1) return text->slice(offset(begin), std::max(offset(begin), offset(end)));
    Text out;
    for (std::int64_t i = begin; step > 0 ? i < end : i > end; i += step)
      out.append_slice(*text, offset(i), offset(i + 1));
    return out;
  }
  std::vector<Value> items;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end; i += step) {
    spend();
    items.push_back(object.as<List>()->items[static_cast<std::size_t>(i)]);
  }
  return Value::list(std::move(items), object.as<List>()->origin, object.as<List>()->tuple);
}

Value Interpreter::attribute(const Value& object, const std::string& name) {
  if (const Undefined* undefined = object.as<Undefined>()) fault(undefined->name, ", so it has no '", name, "'");
  if (const Namespace* space = object.shared<Namespace>()) {
    for (const auto& [key, value] : space->items) {
      if (key == name) return value;
    }
  } else if (const Loop* loop = object.shared<Loop>()) {
    if (name == "cycle" || name == "changed")
      return Callable{Callable::Kind::kMethod, name, nullptr, std::make_shared<Value>(object), nullptr};
    return loop_attribute(*loop, name);
  } else if (has_method(object, name)) {
    return Callable{Callable::Kind::kMethod, name, nullptr, std::make_shared<Value>(object), nullptr};
  } else if (const Dict* dict = object.as<Dict>()) {
    if (const Value* value = dict->find(name)) return *value;
  }
  return Value::undefined("'" + object.type_name() + "' has no '" + name + "'");
}

Value Interpreter::item(const Value& object, const Value& key) {
  if (const Undefined* undefined = object.as<Undefined>()) fault(undefined->name, ", so it has no items");
  if (const Dict* dict = object.as<Dict>()) {
    spend(dict->items.size());
    if (const Value* value = dict->find(key)) return *value;
  }
  std::int64_t index = 0;
  if (key.to_whole(index) && (object.as<List>() != nullptr || object.as<Text>() != nullptr)) {
    const std::int64_t size = length(object);
    if (index < 0) index += size;
    if (index < 0 || index >= size)
      return Value::undefined("a " + object.type_name() + " of " + std::to_string(size) + " has no item " +
                              std::to_string(index));
    if (const List* list = object.as<List>()) return list->items[static_cast<std::size_t>(index)];
    const Text& text = *object.as<Text>();
    spend(text.size());
    const TextCharacter c = characters(text.bytes())[static_cast<std::size_t>(index)];
    return text.slice(c.begin, c.end);
  }
  if (const Text* name = key.as<Text>()) return attribute(object, name->bytes());
  return Value::undefined("a " + object.type_name() + " has no such item");
}

}  // namespace shardlora
