#include "lora/lora.h"

#include <algorithm>

namespace shardlora {

bool LoraConfig::targets(const std::string& module) const {
  return std::any_of(target_modules.begin(), target_modules.end(), [&](const std::string& target) {
    if (!module.ends_with(target)) return false;
    return module.size() == target.size() || module[module.size() - target.size() - 1] == '.';
  });
}

bool LoraConfig::saves(const std::string& module) const {
  return std::find(modules_to_save.begin(), modules_to_save.end(), module) != modules_to_save.end();
}

}  // namespace shardlora
