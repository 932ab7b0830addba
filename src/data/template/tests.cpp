// The tests of the template language: "x is string".
#include <algorithm>
#include <array>

#include "data/template/interpreter.h"

namespace shardlora {
namespace {

bool is_whole(const Value& v) { return v.as<std::int64_t>() != nullptr; }
bool is_number(const Value& v) { return is_whole(v) || v.as<bool>() != nullptr || v.as<double>() != nullptr; }
std::int64_t whole(const Value& v) {
  std::int64_t number = 0;
  if (!v.to_whole(number)) fault("this test needs a whole number, not a ", v.type_name());
  return number;
}

struct NamedTest {
  std::string_view name;
  Test test;
};
using I = Interpreter;
using V = Value;
using A = Arguments;

constexpr std::array<NamedTest, 37> kTests{{
    {"defined", [](I&, const V& v, const A&) { return !v.is_undefined(); }},
    {"undefined", [](I&, const V& v, const A&) { return v.is_undefined(); }},
    {"none", [](I&, const V& v, const A&) { return v.is_none(); }},
    {"string", [](I&, const V& v, const A&) { return v.as<Text>() != nullptr; }},
    {"mapping", [](I&, const V& v, const A&) { return v.as<Dict>() != nullptr; }},
    {"sequence",
     [](I&, const V& v, const A&) { return v.as<Text>() || v.as<List>() || v.as<Dict>() || v.is_undefined(); }},
    {"iterable",
     [](I&, const V& v, const A&) { return v.as<Text>() || v.as<List>() || v.as<Dict>() || v.is_undefined(); }},
    {"number", [](I&, const V& v, const A&) { return is_number(v); }},
    {"integer", [](I&, const V& v, const A&) { return is_whole(v); }},
    {"float", [](I&, const V& v, const A&) { return v.as<double>() != nullptr; }},
    {"boolean", [](I&, const V& v, const A&) { return v.as<bool>() != nullptr; }},
    {"true", [](I&, const V& v, const A&) { return v.as<bool>() != nullptr && *v.as<bool>(); }},
    {"false", [](I&, const V& v, const A&) { return v.as<bool>() != nullptr && !*v.as<bool>(); }},
    {"callable", [](I&, const V& v, const A&) { return v.as<Callable>() != nullptr; }},
    {"even", [](I&, const V& v, const A&) { return whole(v) % 2 == 0; }},
    {"odd", [](I&, const V& v, const A&) { return whole(v) % 2 != 0; }},
    {"divisibleby",
     [](I&, const V& v, const A& a) {
       const std::int64_t divisor = whole(a.need(0, "num"));
       if (divisor == 0) fault("division by zero");
       return divisor == -1 || whole(v) % divisor == 0;
     }},
    {"sameas",
     [](I&, const V& v, const A& a) {
       const V& other = a.need(0, "other");
       return v.type_name() == other.type_name() && equal(v, other);
     }},
    {"in", [](I&, const V& v, const A& a) { return contains(a.need(0, "seq"), v); }},
    {"upper",
     [](I&, const V& v, const A&) {
       const Text text = to_text(v);
       return with_case(text, LetterCase::kUpper).bytes() == text.bytes() &&
              with_case(text, LetterCase::kLower).bytes() != text.bytes();
     }},
    {"lower",
     [](I&, const V& v, const A&) {
       const Text text = to_text(v);
       return with_case(text, LetterCase::kLower).bytes() == text.bytes() &&
              with_case(text, LetterCase::kUpper).bytes() != text.bytes();
     }},
    {"filter", [](I&, const V& v, const A&) { return find_filter(to_text(v).bytes()) != nullptr; }},
    {"test", [](I&, const V& v, const A&) { return find_test(to_text(v).bytes()) != nullptr; }},
    {"eq", [](I&, const V& v, const A& a) { return equal(v, a.need(0, "other")); }},
    {"equalto", [](I&, const V& v, const A& a) { return equal(v, a.need(0, "other")); }},
    {"==", [](I&, const V& v, const A& a) { return equal(v, a.need(0, "other")); }},
    {"ne", [](I&, const V& v, const A& a) { return !equal(v, a.need(0, "other")); }},
    {"!=", [](I&, const V& v, const A& a) { return !equal(v, a.need(0, "other")); }},
    {"lt", [](I&, const V& v, const A& a) { return less(v, a.need(0, "other")); }},
    {"<", [](I&, const V& v, const A& a) { return less(v, a.need(0, "other")); }},
    {"le", [](I&, const V& v, const A& a) { return !less(a.need(0, "other"), v); }},
    {"<=", [](I&, const V& v, const A& a) { return !less(a.need(0, "other"), v); }},
    {"gt", [](I&, const V& v, const A& a) { return less(a.need(0, "other"), v); }},
    {">", [](I&, const V& v, const A& a) { return less(a.need(0, "other"), v); }},
    {"ge", [](I&, const V& v, const A& a) { return !less(v, a.need(0, "other")); }},
    {">=", [](I&, const V& v, const A& a) { return !less(v, a.need(0, "other")); }},
    {"escaped", [](I&, const V&, const A&) { return false; }},
}};

}  // namespace

Test find_test(std::string_view name) {
  const auto* found =
      std::find_if(kTests.begin(), kTests.end(), [&](const NamedTest& test) { return test.name == name; });
  return found == kTests.end() ? nullptr : found->test;
}

std::string test_names() {
  std::string names;
  for (const NamedTest& test : kTests) names += (names.empty() ? "" : ", ") + std::string(test.name);
  return names;
}

}  // namespace shardlora
