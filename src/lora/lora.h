// LoRA (Hu et al., "LoRA: low-rank adaptation of large language models", 2021): y = W x + (alpha / r) B A x on chosen
// linears. What an adapter adds to a linear, and the parameters it brings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shardlora {

struct LoraConfig {
  std::int64_t rank = 8;
  double alpha = 8;
  // Module suffixes ("q_proj"), PEFT's rule for lists: a module matches if its name equals one or ends with "." + one.
  std::vector<std::string> target_modules;
  double scale() const { return alpha / static_cast<double>(rank); }
  bool targets(const std::string& module) const;
};

}  // namespace shardlora
