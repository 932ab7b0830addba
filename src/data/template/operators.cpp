// Arithmetic of the template language: Python's, with 64-bit whole numbers.
#include <algorithm>
#include <cmath>

#include "data/template/interpreter.h"

namespace shardlora {
namespace {

[[noreturn]] void too_large() { fault("a whole number beyond 64 bits"); }

std::int64_t whole_power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(result, base, &result)) too_large();
    if (result == 0 || (base == 1)) break;
    if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  }
  return result;
}

Value whole_numbers(const std::string& op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (op == "+"   ? __builtin_add_overflow(a, b, &result)
      : op == "-" ? __builtin_sub_overflow(a, b, &result)
                  : op == "*" && __builtin_mul_overflow(a, b, &result))
    too_large();
  if (op == "+" || op == "-" || op == "*") return result;
  if (op == "**")
    return b >= 0 ? Value(whole_power(a, b)) : Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
  if (b == 0) fault("division by zero");
  if (op == "/") return static_cast<double>(a) / static_cast<double>(b);
  if (b == -1) return op == "//" ? whole_numbers("-", 0, a) : Value(std::int64_t{0});
  const std::int64_t remainder = ((a % b) + b) % b;
  return op == "%" ? remainder : (a - remainder) / b;
}

Value real_numbers(const std::string& op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**") return std::pow(a, b);
  if (b == 0) fault("division by zero");
  if (op == "/") return a / b;
  if (op == "//") return std::floor(a / b);
  const double remainder = std::fmod(a, b);
  return remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

Value repeated(const Value& value, std::int64_t times) {
  constexpr std::int64_t kMost = 1 << 20;
  if (times > kMost) fault("something repeated more than ", std::to_string(kMost), " times");
  if (const Text* text = value.as<Text>()) {
    Text out;
    for (std::int64_t i = 0; i < times; ++i) out.append(*text);
    return out;
  }
  std::vector<Value> items;
  const List& list = *value.as<List>();
  if (static_cast<std::int64_t>(list.items.size()) * std::max<std::int64_t>(times, 0) > kMost)
    fault("a list of more than ", std::to_string(kMost), " values");
  for (std::int64_t i = 0; i < times; ++i) items.insert(items.end(), list.items.begin(), list.items.end());
  return Value::list(std::move(items), list.origin, list.tuple);
}

bool is_sequence(const Value& value) { return value.as<Text>() != nullptr || value.as<List>() != nullptr; }

}  // namespace

Value binary(const std::string& op, const Value& a, const Value& b) {
  std::int64_t i = 0, j = 0;
  const bool whole_a = a.to_whole(i), whole_b = b.to_whole(j);
  if (whole_a && whole_b) return whole_numbers(op, i, j);
  double x = 0, y = 0;
  if (a.to_real(x) && b.to_real(y)) return real_numbers(op, x, y);
  if (op == "+" && a.as<Text>() != nullptr && b.as<Text>() != nullptr) {
    const bool markup = a.as<Text>()->markup() || b.as<Text>()->markup();
    Text joined = markup ? html_escaped(*a.as<Text>()) : *a.as<Text>();
    joined.append(markup ? html_escaped(*b.as<Text>()) : *b.as<Text>());
    return joined;
  }
  if (op == "+" && a.as<List>() != nullptr && b.as<List>() != nullptr) {
    std::vector<Value> items = a.as<List>()->items;
    items.insert(items.end(), b.as<List>()->items.begin(), b.as<List>()->items.end());
    return Value::list(std::move(items), a.as<List>()->origin, a.as<List>()->tuple);
  }
  if (op == "%" && a.as<Text>() != nullptr) return percent_format(*a.as<Text>(), b);
  if (op == "*" && is_sequence(a) && whole_b) return repeated(a, j);
  if (op == "*" && is_sequence(b) && whole_a) return repeated(b, i);
  for (const Value* side : {&a, &b}) {
    if (const Undefined* undefined = side->as<Undefined>()) fault(undefined->name, ", so '", op, "' cannot use it");
  }
  fault("'", op, "' cannot join a ", a.type_name(), " and a ", b.type_name());
}

}  // namespace shardlora
