// Which keys a recipe gives, and who wins where a key comes twice.
#include <algorithm>

#include "base/config_fields.h"

namespace shardlora {

GivenKeys::GivenKeys(std::vector<Name> names, std::vector<UnsupportedKey> unsupported)
    : names_(std::move(names)), unsupported_(std::move(unsupported)) {
  for (const Name& name : names_) {
    all_names_.push_back(name.name);
    all_names_.insert(all_names_.end(), name.aliases.begin(), name.aliases.end());
  }
  for (const UnsupportedKey& key : unsupported_) all_names_.push_back(key.name);
}

void GivenKeys::read_file(const ConfigNode& root) {
  if (root.kind == ConfigNode::Kind::kNull) return;
  if (root.kind != ConfigNode::Kind::kMapping) fail("{}: a recipe is a list of \"key: value\" lines", root.place);
  for (const ConfigMember& member : root.members) read(member, "", false);
}

void GivenKeys::read_override(const ConfigMember& member) { read(member, "", true); }

void GivenKeys::read(const ConfigMember& member, const std::string& prefix, bool from_command_line) {
  const std::string written = prefix + member.key;
  const Name* name = known(written);
  if (name == nullptr && is_group(written)) {
    if (member.value.kind == ConfigNode::Kind::kNull) return;
    if (member.value.kind != ConfigNode::Kind::kMapping)
      expected({written, member.value}, "a mapping of its keys, indented below it");
    for (const ConfigMember& inner : member.value.members) read(inner, written + ".", from_command_line);
    return;
  }
  if (name == nullptr) return check_unsupported(member, written);

  const auto before = std::find_if(given_.begin(), given_.end(), [&](const Given& g) { return g.name == name->name; });
  if (before != given_.end()) {
    if (!from_command_line)
      fail("{}: {}: given twice; the first is {} at {}", member.place, written, before->value.name,
           before->value.node.place);
    given_.erase(before);
  }
  if (member.value.kind != ConfigNode::Kind::kNull)
    given_.push_back({name->name, {written, member.value, from_command_line}});
}

const GivenKeys::Name* GivenKeys::known(const std::string& written) const {
  for (const Name& name : names_) {
    if (name.name == written || std::find(name.aliases.begin(), name.aliases.end(), written) != name.aliases.end())
      return &name;
  }
  return nullptr;
}

bool GivenKeys::is_group(const std::string& written) const {
  return std::any_of(names_.begin(), names_.end(),
                     [&](const Name& name) { return name.name.starts_with(written + "."); });
}

void GivenKeys::check_unsupported(const ConfigMember& member, const std::string& written) const {
  const auto key = std::find_if(unsupported_.begin(), unsupported_.end(),
                                [&](const UnsupportedKey& candidate) { return candidate.name == written; });
  if (key == unsupported_.end())
    fail("{}: unknown key \"{}\"{}", member.place, written, did_you_mean(written, all_names_));
  const ConfigNode& value = member.value;
  if (value.kind == ConfigNode::Kind::kNull) return;
  if (value.kind != ConfigNode::Kind::kScalar && value.items.empty() && value.members.empty()) return;
  if (value.kind == ConfigNode::Kind::kScalar &&
      std::find(key->harmless.begin(), key->harmless.end(), value.text) != key->harmless.end())
    return;
  const std::string harmless = key->harmless.empty() ? "" : fmt::format(" (or set it to {})", key->harmless.front());
  fail("{}: {}: known, but not supported in this version; {}{}", member.place, written, key->advice, harmless);
}

const ConfigValue* GivenKeys::find(const std::string& name) const {
  for (const Given& given : given_) {
    if (given.name == name) return &given.value;
  }
  return nullptr;
}

void GivenKeys::exclude(const std::string& a, const std::string& b) {
  const ConfigValue *first = find(a), *second = find(b);
  if (first == nullptr || second == nullptr) return;
  if (first->from_command_line == second->from_command_line)
    fail("{}: {}: not together with {} ({}); keep one of them", second->node.place, second->name, first->name,
         first->node.place);
  const std::string loser = first->from_command_line ? b : a;
  std::erase_if(given_, [&](const Given& given) { return given.name == loser; });
}

}  // namespace shardlora
