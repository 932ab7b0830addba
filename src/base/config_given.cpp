// Which keys a recipe gives, and who wins where a key comes twice.
#include <algorithm>

#include "base/config_fields.h"

namespace shardlora {

GivenKeys::GivenKeys(std::vector<Name> names, ForeignTable foreign, ConfigProblems& problems)
    : names_(std::move(names)), foreign_(foreign), problems_(problems) {
  for (const Name& name : names_) {
    all_names_.push_back(name.name);
    all_names_.insert(all_names_.end(), name.aliases.begin(), name.aliases.end());
  }
  for (const ForeignKeys& row : foreign_)
    for (std::string& name : blank_separated(row.names))
      if (name.find('*') == std::string::npos) all_names_.push_back(std::move(name));
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
    if (member.value.kind != ConfigNode::Kind::kMapping) {
      problems_.attempt([&] { expected({written, member.value}, "a mapping of its keys, indented below it"); });
      return;
    }
    for (const ConfigMember& inner : member.value.members) read(inner, written + ".", from_command_line);
    return;
  }
  if (name == nullptr) return read_foreign(member, written);

  const auto before = std::find_if(given_.begin(), given_.end(), [&](const Given& g) { return g.name == name->name; });
  if (before != given_.end()) {
    if (!from_command_line)
      return problems_.add("{}: {}: given twice; the first is {} at {}", member.place, written, before->value.name,
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
                     [&](const Name& name) {
                       const std::string prefix = written + ".";
                       return name.name.starts_with(prefix) ||
                              std::any_of(name.aliases.begin(), name.aliases.end(),
                                          [&](const std::string& alias) { return alias.starts_with(prefix); });
                     }) ||
         (find_foreign(foreign_, written) == nullptr && is_foreign_group(foreign_, written));
}

void GivenKeys::read_foreign(const ConfigMember& member, const std::string& written) {
  if (find_foreign(foreign_, written) == nullptr)
    return problems_.add("{}: unknown key \"{}\"{}", member.place, written, did_you_mean(written, all_names_));
  std::erase_if(given_foreign_, [&](const Given& given) { return given.name == written; });  // the command line's wins
  given_foreign_.push_back({written, {written, member.value}});
}

void GivenKeys::judge_foreign(ConfigNotes& notes) {
  for (const Given& given : given_foreign_)
    notes.take(*find_foreign(foreign_, given.name), given.name, given.value.node, problems_);
}

const ConfigValue* GivenKeys::find(const std::string& name) const {
  for (const Given& given : given_) {
    if (given.name == name) return &given.value;
  }
  return nullptr;
}

void GivenKeys::forget(const std::string& name) {
  std::erase_if(given_, [&](const Given& given) { return given.name == name; });
}

void GivenKeys::mark_unreadable(const std::string& name) {
  forget(name);
  unreadable_.push_back(name);
}

bool GivenKeys::unreadable(std::initializer_list<std::string_view> names) const {
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) {
    return std::find(unreadable_.begin(), unreadable_.end(), name) != unreadable_.end();
  });
}

void GivenKeys::exclude(const std::string& a, const std::string& b) {
  const ConfigValue *first = find(a), *second = find(b);
  if (first == nullptr || second == nullptr) return;
  if (first->from_command_line == second->from_command_line)
    return problems_.add("{}: {}: not together with {} ({}); keep one of them", second->node.place, second->name,
                         first->name, first->node.place);
  overrule(a, b);
  overrule(b, a);
}

void GivenKeys::overrule(const std::string& key, const std::string& other) {
  const ConfigValue *winner = find(key), *loser = find(other);
  if (winner == nullptr || loser == nullptr || !winner->from_command_line || loser->from_command_line) return;
  overruled_.push_back(fmt::format("{}: {}: does not count, since the command line gives {}", loser->node.place,
                                   loser->name, winner->name));
  forget(other);
}

}  // namespace shardlora
