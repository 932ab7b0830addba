// A parsed template: statements and expressions as trees, made once and then only read.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/template/value.h"

namespace shardlora {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
  enum class Kind : unsigned char {
    kConstant,   // value
    kName,       // name
    kList,       // args
    kTuple,      // args
    kDict,       // args: key, value, key, value …
    kAttribute,  // args[0].name
    kItem,       // args[0][args[1]]
    kSlice,      // args[0][args[1]:args[2]:args[3]], null where left out
    kCall,       // args[0](args[1] …, named …)
    kSpread,     // *args[0] or **args[0], as name says, among the arguments of a call
    kFilter,     // args[0] | name(args[1] …, named …)
    kTest,       // args[0] is name(args[1] …)
    kNot,
    kMinus,
    kPlus,  // args[0]
    kAnd,
    kOr,         // args[0], args[1]
    kCondition,  // args[1] if args[0] else args[2] (may be null)
    kConcat,     // args joined as text
    kBinary,     // args[0] name args[1]: + - * / // % **
    kCompare,    // args[0] operators[0] args[1] operators[1] args[2] …
  };
  Kind kind;
  int line;
  std::string name;
  Value value;
  std::vector<ExpressionPtr> args;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<std::string> operators;
};

struct Statement;
using Body = std::vector<std::unique_ptr<Statement>>;

struct Statement {
  enum class Kind : unsigned char {
    kText,         // text
    kOutput,       // expression
    kIf,           // branches; a null condition is the else
    kFor,          // names in expression, with test; body, and else_body where nothing was visited
    kSet,          // names (or name.attribute) = expression
    kSetBlock,     // names[0] = what body writes, through expression (filters of it) where there is one
    kMacro,        // name(names = defaults …): body
    kCallBlock,    // expression(…) with a caller(names = defaults …): body
    kFilterBlock,  // what body writes, through expression
    kWith,         // body with names = defaults of its own
    kGeneration,   // body with its own names, whose text is marked as what the model says
    kBreak,
    kContinue,
  };
  struct Branch {
    ExpressionPtr condition;
    Body body;
  };
  Kind kind;
  int line;
  std::string text;
  std::string name, attribute;
  std::vector<std::string> names;
  ExpressionPtr expression, test;
  std::vector<ExpressionPtr> defaults;  // of the last names
  bool recursive = false;               // of kFor: loop(…) runs it again
  bool takes_more = false;              // of kMacro: varargs or kwargs are spoken of in it
  std::vector<Branch> branches;
  Body body, else_body;
};

struct Template {
  Body body;
  bool has_generation = false;  // a {% generation %} somewhere
};

// A template that doesn't parse: an Error "<name>:<line>: <what is wrong>".
Template parse_template(const std::string& source, const std::string& name);

}  // namespace shardlora
