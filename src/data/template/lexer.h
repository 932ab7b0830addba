// A template's text as tokens, with Jinja's rules of white space around tags under trim_blocks and lstrip_blocks.
#pragma once

#include <string>
#include <vector>

namespace shardlora {

struct TemplateToken {
  enum class Kind : unsigned char {
    kText,  // between tags
    kVariableBegin,
    kVariableEnd,  // {{ }}
    kBlockBegin,
    kBlockEnd,  // {% %}
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  };
  Kind kind;
  std::string text;  // of a string: its value
  int line;
};

// Faults carry no line: `line` says where the lexer stopped.
std::vector<TemplateToken> tokens_of_template(const std::string& source, int& line);

}  // namespace shardlora
