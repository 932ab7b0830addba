// Expressions of the template language, with Jinja's precedence. Statements are in syntax.cpp.
#pragma once

#include <span>
#include <string_view>

#include "data/template/lexer.h"
#include "data/template/syntax.h"

namespace shardlora {

// A place in the tokens of a template.
class TokenCursor {
 public:
  explicit TokenCursor(std::span<const TemplateToken> tokens) : tokens_(tokens) {}
  const TemplateToken& peek(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  TemplateToken next() {
    const TemplateToken& token = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  int line() const { return peek().line; }
  bool at_operator(std::string_view op) const { return is(TemplateToken::Kind::kOperator, op); }
  bool at_name(std::string_view name) const { return is(TemplateToken::Kind::kName, name); }
  bool skip_operator(std::string_view op) { return at_operator(op) && (next(), true); }
  bool skip_name(std::string_view name) { return at_name(name) && (next(), true); }
  void expect_operator(std::string_view op);
  void expect_name(std::string_view name);
  std::string expect_any_name();
  void expect(TemplateToken::Kind kind, std::string_view shown);
  [[noreturn]] void unexpected(std::string_view wanted) const;

 private:
  bool is(TemplateToken::Kind kind, std::string_view text) const { return peek().kind == kind && peek().text == text; }
  std::span<const TemplateToken> tokens_;
  std::size_t at_ = 0;
};

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenCursor& cursor) : cursor_(cursor) {}
  // x, or x, y as a tuple; `conditional`: whether "x if y else z" may be meant.
  ExpressionPtr tuple(bool conditional = true);
  ExpressionPtr expression(bool conditional = true);
  // | filter | filter of `value`.
  ExpressionPtr filters(ExpressionPtr value);
  // The same without the first |.
  ExpressionPtr filters_of(ExpressionPtr value);
  // Unknown filters and tests in a branch that may never be taken are faults of running, as Jinja has it.
  int branches = 0;
  bool spoke_of_more = false;  // "varargs" or "kwargs" came by

 private:
  struct Nesting;
  using Kind = Expression::Kind;
  ExpressionPtr make(Kind kind, ExpressionPtr first = nullptr, ExpressionPtr second = nullptr) const;
  ExpressionPtr disjunction();
  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr unary(bool with_filters = true);
  ExpressionPtr primary();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr postfix(ExpressionPtr value);
  ExpressionPtr subscript(ExpressionPtr value);
  ExpressionPtr filters_and_tests(ExpressionPtr value);
  ExpressionPtr filter(ExpressionPtr value);
  ExpressionPtr named_filter(ExpressionPtr value);
  ExpressionPtr test(ExpressionPtr value);
  void arguments(Expression& call);
  void count_link(int& links) const;

  TokenCursor& cursor_;
  int depth_ = 0;
};

}  // namespace shardlora
