#include "data/formats/roles.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace shardlora {
namespace {

struct RoleName {
  std::string_view name, role;
};
constexpr std::array kRoles{
    RoleName{"system", "system"},      RoleName{"user", "user"},           RoleName{"assistant", "assistant"},
    RoleName{"tool", "tool"},          RoleName{"developer", "developer"}, RoleName{"function", "function"},
    RoleName{"ipython", "ipython"},    RoleName{"human", "user"},          RoleName{"gpt", "assistant"},
    RoleName{"model", "assistant"},    RoleName{"chatgpt", "assistant"},   RoleName{"observation", "tool"},
    RoleName{"tool_response", "tool"},
};

}  // namespace

std::optional<std::string> role_by_dataset(const std::string& name, const DatasetSource& source) {
  for (const auto& [role, names] : source.roles)
    if (std::find(names.begin(), names.end(), name) != names.end()) return role;
  if (source.roles.contains(name)) return name;
  return {};
}

std::optional<std::string> template_role(const std::string& name, const DatasetSource& source) {
  if (auto role = role_by_dataset(name, source)) return role;
  for (const RoleName& known : kRoles)
    if (known.name == name) return std::string(known.role);
  return {};
}

}  // namespace shardlora
