// Statements of the template language.
#include "data/template/syntax.h"

#include <algorithm>
#include <initializer_list>

#include "base/error.h"
#include "data/template/parser.h"

namespace shardlora {
namespace {

using Kind = TemplateToken::Kind;

class StatementParser {
 public:
  explicit StatementParser(TokenCursor& cursor) : cursor_(cursor), expressions_(cursor) {}

  Template whole() {
    Body body = until({});
    if (cursor_.peek().kind != Kind::kEnd) fault("unexpected {% ", cursor_.peek(1).text, " %}");
    return {std::move(body), has_generation_};
  }

 private:
  // Statements up to a block whose name is one of `ends`; the cursor stays at that name, behind {%.
  Body until(std::initializer_list<std::string_view> ends) {
    if (++depth_ > 50) fault("blocks nested deeper than 50");
    Body body;
    while (cursor_.peek().kind != Kind::kEnd) {
      if (cursor_.peek().kind == Kind::kBlockBegin &&
          std::find(ends.begin(), ends.end(), cursor_.peek(1).text) != ends.end()) {
        cursor_.next();
        --depth_;
        return body;
      }
      if (cursor_.peek().kind == Kind::kBlockBegin && ends.size() == 0 && cursor_.peek(1).text.starts_with("end"))
        break;
      body.push_back(statement());
    }
    --depth_;
    if (ends.size() > 0) fault("the template ends where {% ", std::string(*(ends.end() - 1)), " %} is missing");
    return body;
  }

  std::unique_ptr<Statement> make(Statement::Kind kind) const {
    auto node = std::make_unique<Statement>();
    node->kind = kind;
    node->line = cursor_.line();
    return node;
  }

  void end_block() { cursor_.expect(Kind::kBlockEnd, "'%}'"); }
  void end_with(std::string_view name) {
    cursor_.expect_name(name);
    end_block();
  }

  std::unique_ptr<Statement> statement() {
    if (cursor_.peek().kind == Kind::kText) {
      auto node = make(Statement::Kind::kText);
      node->text = cursor_.next().text;
      return node;
    }
    if (cursor_.peek().kind == Kind::kVariableBegin) {
      cursor_.next();
      auto node = make(Statement::Kind::kOutput);
      node->expression = expressions_.tuple();
      cursor_.expect(Kind::kVariableEnd, "'}}'");
      return node;
    }
    cursor_.expect(Kind::kBlockBegin, "a tag");
    const std::string name = cursor_.expect_any_name();
    if (name == "if") return if_block();
    if (name == "for") return for_block();
    if (name == "set") return set_block();
    if (name == "macro") return macro();
    if (name == "generation") {
      auto node = make(Statement::Kind::kGeneration);
      has_generation_ = true;
      end_block();
      node->body = until({"endgeneration"});
      end_with("endgeneration");
      return node;
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) fault("{% ", name, " %} outside of a loop");
      auto node = make(name == "break" ? Statement::Kind::kBreak : Statement::Kind::kContinue);
      end_block();
      return node;
    }
    if (name == "call") return call_block();
    if (name == "filter") return filter_block();
    if (name == "with") return with_block();
    fault("unknown tag {% ", name,
          " %}; known are if, for, set, macro, call, filter, with, generation, break, continue, raw");
  }

  std::unique_ptr<Statement> if_block() {
    auto node = make(Statement::Kind::kIf);
    ++expressions_.branches;
    while (true) {
      Statement::Branch& branch = node->branches.emplace_back();
      branch.condition = expressions_.tuple(false);
      end_block();
      branch.body = until({"elif", "else", "endif"});
      if (!cursor_.skip_name("elif")) break;
    }
    if (cursor_.skip_name("else")) {
      end_block();
      node->branches.push_back({nullptr, until({"endif"})});
    }
    --expressions_.branches;
    end_with("endif");
    return node;
  }

  std::unique_ptr<Statement> for_block() {
    auto node = make(Statement::Kind::kFor);
    const bool parentheses = cursor_.skip_operator("(");
    do {
      node->names.push_back(cursor_.expect_any_name());
    } while (cursor_.skip_operator(","));
    if (parentheses) cursor_.expect_operator(")");
    cursor_.expect_name("in");
    node->expression = expressions_.tuple(false);
    if (cursor_.skip_name("if")) node->test = expressions_.expression();
    node->recursive = cursor_.skip_name("recursive");
    end_block();
    ++loops_;
    node->body = until({"else", "endfor"});
    --loops_;
    if (cursor_.skip_name("else")) {
      end_block();
      node->else_body = until({"endfor"});
    }
    end_with("endfor");
    return node;
  }

  std::unique_ptr<Statement> set_block() {
    auto node = make(Statement::Kind::kSet);
    do {
      node->names.push_back(cursor_.expect_any_name());
    } while (cursor_.skip_operator(","));
    if (node->names.size() == 1 && cursor_.skip_operator(".")) node->attribute = cursor_.expect_any_name();
    if (cursor_.skip_operator("=")) {
      node->expression = expressions_.tuple();
      end_block();
      return node;
    }
    node->kind = Statement::Kind::kSetBlock;
    if (cursor_.at_operator("|")) {
      node->expression = expressions_.filters(written());
    }
    end_block();
    node->body = until({"endset"});
    end_with("endset");
    return node;
  }

  // What a block wrote, before filters: the evaluator puts it in place of the empty name.
  ExpressionPtr written() const {
    auto name = std::make_unique<Expression>();
    name->kind = Expression::Kind::kName;
    name->line = cursor_.line();
    return name;
  }

  std::unique_ptr<Statement> filter_block() {
    auto node = make(Statement::Kind::kFilterBlock);
    node->expression = expressions_.filters_of(written());
    end_block();
    node->body = until({"endfilter"});
    end_with("endfilter");
    return node;
  }

  std::unique_ptr<Statement> with_block() {
    auto node = make(Statement::Kind::kWith);
    while (cursor_.peek().kind != Kind::kBlockEnd) {
      node->names.push_back(cursor_.expect_any_name());
      cursor_.expect_operator("=");
      node->defaults.push_back(expressions_.expression());
      if (cursor_.peek().kind != Kind::kBlockEnd) cursor_.expect_operator(",");
    }
    end_block();
    node->body = until({"endwith"});
    end_with("endwith");
    return node;
  }

  std::unique_ptr<Statement> call_block() {
    auto node = make(Statement::Kind::kCallBlock);
    node->name = "caller";
    if (cursor_.at_operator("(")) parameters(*node);
    node->expression = expressions_.expression();
    if (node->expression->kind != Expression::Kind::kCall) fault("{% call %} needs a call such as name(arguments)");
    end_block();
    body_of_macro(*node, "endcall");
    return node;
  }

  std::unique_ptr<Statement> macro() {
    auto node = make(Statement::Kind::kMacro);
    node->name = cursor_.expect_any_name();
    parameters(*node);
    end_block();
    body_of_macro(*node, "endmacro");
    return node;
  }

  void body_of_macro(Statement& node, std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    const bool spoke_of_more = std::exchange(expressions_.spoke_of_more, false);
    node.body = until({end});
    node.takes_more = std::exchange(expressions_.spoke_of_more, spoke_of_more);
    loops_ = loops;
    end_with(end);
  }

  void parameters(Statement& macro) {
    cursor_.expect_operator("(");
    while (!cursor_.at_operator(")")) {
      macro.names.push_back(cursor_.expect_any_name());
      if (cursor_.skip_operator("="))
        macro.defaults.push_back(expressions_.expression());
      else if (!macro.defaults.empty())
        fault("a parameter without a default behind one with a default");
      if (!cursor_.at_operator(")")) cursor_.expect_operator(",");
    }
    cursor_.expect_operator(")");
  }

  TokenCursor& cursor_;
  ExpressionParser expressions_;
  int depth_ = 0, loops_ = 0;
  bool has_generation_ = false;
};

}  // namespace

Template parse_template(const std::string& source, const std::string& name) {
  constexpr std::size_t kMaxBytes = 1 << 20;
  if (source.size() > kMaxBytes) fail("{}: larger than {} bytes", name, kMaxBytes);
  int line = 1;
  std::vector<TemplateToken> tokens;
  try {
    tokens = tokens_of_template(source, line);
  } catch (const TemplateFault& error) {
    fail("{}:{}: {}", name, line, error.what());
  }
  TokenCursor cursor(tokens);
  try {
    return StatementParser(cursor).whole();
  } catch (const TemplateFault& error) {
    fail("{}:{}: {}", name, cursor.line(), error.what());
  }
}

}  // namespace shardlora
