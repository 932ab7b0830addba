// A YAML file as a tree that remembers the line of everything, read strictly: one document of mappings, sequences and
// plain values; anchors, aliases, tags, duplicate keys, more than 1 MB or 32 levels are Errors. What the values mean is
// decided by config_fields.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace shardlora {

struct ConfigMember;

struct ConfigNode {
  enum class Kind : unsigned char { kNull, kScalar, kSequence, kMapping };
  Kind kind = Kind::kNull;
  std::string place;                  // "recipe.yaml:14" or "command line"
  std::string text;                   // of a scalar
  std::vector<ConfigNode> items;      // of a sequence
  std::vector<ConfigMember> members;  // of a mapping, in the order of the file
};

struct ConfigMember {
  std::string key, place;  // of the key
  ConfigNode value;
};

// `name` is what places are called by.
ConfigNode parse_config(std::string_view yaml, const std::string& name);
ConfigNode read_config_file(const std::string& path);
// "lora_r=16" -> key and value, whose place is "command line". The value is YAML: targets=[q_proj, v_proj].
ConfigMember parse_override(const std::string& text);

}  // namespace shardlora
