#include "lora/lora.h"

#include <algorithm>

namespace shardlora {

bool LoraConfig::saves(const std::string& module) const {
  return std::find(modules_to_save.begin(), modules_to_save.end(), module) != modules_to_save.end();
}

}  // namespace shardlora
