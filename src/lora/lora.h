// LoRA (Hu et al., "LoRA: low-rank adaptation of large language models", 2021): y = W x + s B A dropout(x) on chosen
// linears, s = alpha / r, or alpha / sqrt(r) (Kalajdzievski, "A rank stabilization scaling factor for fine-tuning with
// LoRA", 2023).
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace shardlora {

struct LoraConfig {
  std::int64_t rank = 8;
  double alpha = 8;
  // Module suffixes ("q_proj"), PEFT's rule for lists: a module matches if its name equals one or ends with "." + one.
  std::vector<std::string> target_modules = {};
  // Whole modules that train beside the adapter: "embed_tokens", "lm_head". With tied embeddings they are one matrix.
  std::vector<std::string> modules_to_save = {};
  double dropout = 0;  // of a linear's input on its way to A, while training only
  bool rslora = false;
  double scale() const {
    const auto r = static_cast<double>(rank);
    return alpha / (rslora ? std::sqrt(r) : r);
  }
  bool targets(const std::string& module) const;
  bool saves(const std::string& module) const;  // by the module's last part
};

}  // namespace shardlora
