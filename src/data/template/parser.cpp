#include "data/template/parser.h"

#include <charconv>

#include "data/template/interpreter.h"

namespace shardlora {
namespace {

constexpr int kMaxNesting = 60;  // parentheses in parentheses
constexpr int kMaxLinks = 200;   // a + b + c …: each link is one level of the tree

std::string shown(const TemplateToken& token) {
  switch (token.kind) {
    case TemplateToken::Kind::kEnd: return "the end of the template";
    case TemplateToken::Kind::kVariableEnd: return "'}}'";
    case TemplateToken::Kind::kBlockEnd: return "'%}'";
    default: return "'" + token.text.substr(0, 40) + "'";
  }
}

}  // namespace

void TokenCursor::unexpected(std::string_view wanted) const {
  fault("expected ", std::string(wanted), ", got ", shown(peek()));
}
void TokenCursor::expect_operator(std::string_view op) {
  if (!skip_operator(op)) unexpected("'" + std::string(op) + "'");
}
void TokenCursor::expect_name(std::string_view name) {
  if (!skip_name(name)) unexpected("'" + std::string(name) + "'");
}
std::string TokenCursor::expect_any_name() {
  if (peek().kind != TemplateToken::Kind::kName) unexpected("a name");
  return next().text;
}
void TokenCursor::expect(TemplateToken::Kind kind, std::string_view wanted) {
  if (peek().kind != kind) unexpected(wanted);
  next();
}

struct ExpressionParser::Nesting {
  explicit Nesting(int& depth) : depth(depth) {
    if (++depth > kMaxNesting) fault("expressions nested deeper than ", std::to_string(kMaxNesting));
  }
  ~Nesting() { --depth; }
  int& depth;
};

void ExpressionParser::count_link(int& links) const {
  if (++links > kMaxLinks) fault("an expression of more than ", std::to_string(kMaxLinks), " operations in a row");
}

ExpressionPtr ExpressionParser::make(Kind kind, ExpressionPtr first, ExpressionPtr second) const {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = cursor_.line();
  if (first) {
    node->line = first->line;
    node->args.push_back(std::move(first));
  }
  if (second) node->args.push_back(std::move(second));
  return node;
}

ExpressionPtr ExpressionParser::tuple(bool conditional) {
  ExpressionPtr first = expression(conditional);
  if (!cursor_.at_operator(",")) return first;
  ExpressionPtr node = make(Kind::kTuple, std::move(first));
  while (cursor_.skip_operator(",")) {
    const TemplateToken& token = cursor_.peek();
    if (token.kind == TemplateToken::Kind::kBlockEnd || token.kind == TemplateToken::Kind::kVariableEnd ||
        cursor_.at_operator(")"))
      break;
    node->args.push_back(expression(conditional));
  }
  return node;
}

ExpressionPtr ExpressionParser::expression(bool conditional) {
  const Nesting nesting(depth_);
  ExpressionPtr value = disjunction();
  int links = 0;
  while (conditional && cursor_.skip_name("if")) {
    count_link(links);
    ExpressionPtr condition = disjunction();
    ExpressionPtr node = make(Kind::kCondition, std::move(condition), std::move(value));
    node->args.push_back(cursor_.skip_name("else") ? expression(true) : nullptr);
    value = std::move(node);
  }
  return value;
}

ExpressionPtr ExpressionParser::disjunction() {
  ExpressionPtr left = conjunction();
  for (int links = 0; cursor_.skip_name("or"); count_link(links))
    left = make(Kind::kOr, std::move(left), conjunction());
  return left;
}

ExpressionPtr ExpressionParser::conjunction() {
  ExpressionPtr left = negation();
  for (int links = 0; cursor_.skip_name("and"); count_link(links)) left = make(Kind::kAnd, std::move(left), negation());
  return left;
}

ExpressionPtr ExpressionParser::negation() {
  if (!cursor_.skip_name("not")) return comparison();
  const Nesting nesting(depth_);
  return make(Kind::kNot, negation());
}

ExpressionPtr ExpressionParser::comparison() {
  ExpressionPtr left = sum();
  ExpressionPtr node;
  while (true) {
    std::string op;
    if (cursor_.peek().kind == TemplateToken::Kind::kOperator) {
      const std::string& text = cursor_.peek().text;
      if (text == "==" || text == "!=" || text == "<" || text == "<=" || text == ">" || text == ">=")
        op = cursor_.next().text;
    } else if (cursor_.skip_name("in")) {
      op = "in";
    } else if (cursor_.at_name("not") && cursor_.peek(1).kind == TemplateToken::Kind::kName &&
               cursor_.peek(1).text == "in") {
      cursor_.next();
      cursor_.next();
      op = "not in";
    }
    if (op.empty()) return node ? std::move(node) : std::move(left);
    if (!node) node = make(Kind::kCompare, std::move(left));
    node->operators.push_back(op);
    node->args.push_back(sum());
  }
}

ExpressionPtr ExpressionParser::sum() {
  ExpressionPtr left = concatenation();
  for (int links = 0; cursor_.at_operator("+") || cursor_.at_operator("-"); count_link(links)) {
    const std::string op = cursor_.next().text;
    left = make(Kind::kBinary, std::move(left), concatenation());
    left->name = op;
  }
  return left;
}

ExpressionPtr ExpressionParser::concatenation() {
  ExpressionPtr first = product();
  if (!cursor_.at_operator("~")) return first;
  ExpressionPtr node = make(Kind::kConcat, std::move(first));
  while (cursor_.skip_operator("~")) node->args.push_back(product());
  return node;
}

ExpressionPtr ExpressionParser::product() {
  ExpressionPtr left = power();
  for (int links = 0;
       cursor_.at_operator("*") || cursor_.at_operator("/") || cursor_.at_operator("//") || cursor_.at_operator("%");
       count_link(links)) {
    const std::string op = cursor_.next().text;
    left = make(Kind::kBinary, std::move(left), power());
    left->name = op;
  }
  return left;
}

ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary();
  for (int links = 0; cursor_.skip_operator("**"); count_link(links)) {
    left = make(Kind::kBinary, std::move(left), unary());
    left->name = "**";
  }
  return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  const Nesting nesting(depth_);
  ExpressionPtr value;
  if (cursor_.skip_operator("-")) {
    value = make(Kind::kMinus, unary(false));
  } else if (cursor_.skip_operator("+")) {
    value = make(Kind::kPlus, unary(false));
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filters_and_tests(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::primary() {
  ExpressionPtr node = make(Kind::kConstant);
  const TemplateToken& token = cursor_.peek();
  switch (token.kind) {
    case TemplateToken::Kind::kName:
      if (token.text == "true" || token.text == "True") {
        node->value = true;
      } else if (token.text == "false" || token.text == "False") {
        node->value = false;
      } else if (token.text != "none" && token.text != "None") {
        node->kind = Kind::kName;
        node->name = token.text;
        spoke_of_more = spoke_of_more || token.text == "varargs" || token.text == "kwargs";
      }
      cursor_.next();
      return node;
    case TemplateToken::Kind::kString: {
      std::string text;
      while (cursor_.peek().kind == TemplateToken::Kind::kString) text += cursor_.next().text;
      node->value = Value::text(text);
      return node;
    }
    case TemplateToken::Kind::kInteger: {
      std::int64_t number = 0;
      const auto [end, error] = std::from_chars(token.text.data(), token.text.data() + token.text.size(), number);
      if (error != std::errc() || *end != '\0') fault("the number ", token.text, " is too large");
      node->value = number;
      cursor_.next();
      return node;
    }
    case TemplateToken::Kind::kFloat: {
      double number = 0;
      std::from_chars(token.text.data(), token.text.data() + token.text.size(), number);
      node->value = number;
      cursor_.next();
      return node;
    }
    default: break;
  }
  if (cursor_.at_operator("[")) return list();
  if (cursor_.at_operator("{")) return dict();
  if (!cursor_.skip_operator("(")) cursor_.unexpected("an expression");
  if (cursor_.skip_operator(")")) {
    node->kind = Kind::kTuple;
    return node;
  }
  ExpressionPtr inner = tuple();
  cursor_.expect_operator(")");
  return inner;
}

ExpressionPtr ExpressionParser::list() {
  ExpressionPtr node = make(Kind::kList);
  cursor_.expect_operator("[");
  while (!cursor_.at_operator("]")) {
    node->args.push_back(expression());
    if (!cursor_.at_operator("]")) cursor_.expect_operator(",");
  }
  cursor_.expect_operator("]");
  return node;
}

ExpressionPtr ExpressionParser::dict() {
  ExpressionPtr node = make(Kind::kDict);
  cursor_.expect_operator("{");
  while (!cursor_.at_operator("}")) {
    node->args.push_back(expression());
    cursor_.expect_operator(":");
    node->args.push_back(expression());
    if (!cursor_.at_operator("}")) cursor_.expect_operator(",");
  }
  cursor_.expect_operator("}");
  return node;
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr value) {
  for (int links = 0;; count_link(links)) {
    if (cursor_.skip_operator(".")) {
      const TemplateToken token = cursor_.next();
      if (token.kind == TemplateToken::Kind::kInteger) {
        ExpressionPtr index = make(Kind::kConstant);
        index->value = static_cast<std::int64_t>(std::atoll(token.text.c_str()));
        value = make(Kind::kItem, std::move(value), std::move(index));
        continue;
      }
      if (token.kind != TemplateToken::Kind::kName) fault("expected a name behind the dot, got ", shown(token));
      value = make(Kind::kAttribute, std::move(value));
      value->name = token.text;
    } else if (cursor_.skip_operator("[")) {
      value = subscript(std::move(value));
    } else if (cursor_.at_operator("(")) {
      value = make(Kind::kCall, std::move(value));
      arguments(*value);
    } else {
      return value;
    }
  }
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr value) {
  ExpressionPtr parts[3];
  int part = 0;
  bool slice = false;
  while (!cursor_.at_operator("]")) {
    if (cursor_.skip_operator(":")) {
      slice = true;
      if (++part > 2) fault("a slice has at most three parts");
    } else if (parts[part]) {
      cursor_.unexpected("']'");
    } else {
      parts[part] = expression();
    }
  }
  cursor_.expect_operator("]");
  if (!slice && !parts[0]) fault("an index is missing between [ and ]");
  if (!slice) return make(Kind::kItem, std::move(value), std::move(parts[0]));
  ExpressionPtr node = make(Kind::kSlice, std::move(value));
  for (ExpressionPtr& p : parts) node->args.push_back(std::move(p));
  return node;
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr value) {
  for (int links = 0;; count_link(links)) {
    if (cursor_.at_operator("|")) {
      value = filter(std::move(value));
    } else if (cursor_.at_name("is")) {
      value = test(std::move(value));
    } else if (cursor_.at_operator("(")) {
      value = make(Kind::kCall, std::move(value));
      arguments(*value);
    } else {
      return value;
    }
  }
}

ExpressionPtr ExpressionParser::filters_of(ExpressionPtr value) { return filters(named_filter(std::move(value))); }

ExpressionPtr ExpressionParser::filter(ExpressionPtr value) {
  cursor_.expect_operator("|");
  return named_filter(std::move(value));
}

ExpressionPtr ExpressionParser::named_filter(ExpressionPtr value) {
  ExpressionPtr node = make(Kind::kFilter, std::move(value));
  node->line = cursor_.line();
  node->name = cursor_.expect_any_name();
  if (branches == 0 && find_filter(node->name) == nullptr)
    fault("unknown filter '", node->name, "'; known are ", filter_names());
  if (cursor_.at_operator("(")) arguments(*node);
  return node;
}

ExpressionPtr ExpressionParser::filters(ExpressionPtr value) {
  for (int links = 0; cursor_.at_operator("|"); count_link(links)) value = filter(std::move(value));
  return value;
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
  cursor_.expect_name("is");
  const bool negated = cursor_.skip_name("not");
  ExpressionPtr node = make(Kind::kTest, std::move(value));
  node->line = cursor_.line();
  node->name = cursor_.expect_any_name();
  if (branches == 0 && find_test(node->name) == nullptr)
    fault("unknown test '", node->name, "'; known are ", test_names());
  const TemplateToken& token = cursor_.peek();
  const bool value_follows =
      token.kind == TemplateToken::Kind::kString || token.kind == TemplateToken::Kind::kInteger ||
      token.kind == TemplateToken::Kind::kFloat || cursor_.at_operator("[") || cursor_.at_operator("{") ||
      (token.kind == TemplateToken::Kind::kName && token.text != "else" && token.text != "or" && token.text != "and" &&
       token.text != "is" && token.text != "if" && token.text != "in" && token.text != "not");
  if (cursor_.at_operator("("))
    arguments(*node);
  else if (value_follows)
    node->args.push_back(postfix(primary()));
  return negated ? make(Kind::kNot, std::move(node)) : std::move(node);
}

void ExpressionParser::arguments(Expression& call) {
  cursor_.expect_operator("(");
  while (!cursor_.at_operator(")")) {
    if (cursor_.at_operator("*") || cursor_.at_operator("**")) {
      const std::string stars = cursor_.next().text;
      call.args.push_back(make(Kind::kSpread, expression()));
      call.args.back()->name = stars;
    } else if (cursor_.peek().kind == TemplateToken::Kind::kName &&
               cursor_.peek(1).kind == TemplateToken::Kind::kOperator && cursor_.peek(1).text == "=") {
      const std::string name = cursor_.next().text;
      cursor_.next();
      call.named.emplace_back(name, expression());
    } else {
      if (!call.named.empty()) fault("an argument without a name behind one with a name");
      call.args.push_back(expression());
    }
    if (!cursor_.at_operator(")")) cursor_.expect_operator(",");
  }
  cursor_.expect_operator(")");
}

}  // namespace shardlora
