// Chat templates by name, for a model that brings none: how the families write a conversation, in our own words. They
// take system, user and assistant turns; anything else is refused, never left out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shardlora {

struct NamedTemplate {
  std::string_view name;
  std::vector<std::string_view> aliases;  // of other trainers
  // What it writes as single tokens, besides bos_token and eos_token: without them a model cannot tell turns apart.
  std::vector<std::string_view> tokens;
  std::string_view body;
  std::string source() const;  // the whole template
};

const std::vector<NamedTemplate>& named_templates();
// By name or alias; null: there is none.
const NamedTemplate* find_named_template(std::string_view name);

}  // namespace shardlora
