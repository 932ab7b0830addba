// LoRA (Hu et al., "LoRA: low-rank adaptation of large language models", 2021): y = W x + s B A dropout(x) on chosen
// linears, s = alpha / r, or alpha / sqrt(r) (Kalajdzievski, "A rank stabilization scaling factor for fine-tuning with
// LoRA", 2023). lora_modules.h says what a configuration means for each module.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace shardlora {

// In PEFT's words.
struct LoraConfig {
  std::int64_t rank = 8;
  double alpha = 8;
  // Module suffixes ("q_proj"): a module matches if its name equals one or ends with "." + one.
  std::vector<std::string> target_modules = {};
  std::string target_pattern = {};  // instead of the list: a regular expression for the whole names of modules
  // A rank or an alpha of their own, by regular expressions for the ends of names; the first that matches counts.
  std::vector<std::pair<std::string, std::int64_t>> rank_pattern = {};
  std::vector<std::pair<std::string, double>> alpha_pattern = {};
  // Of the modules that the list names by their ends, only those in these layers; empty: in all. layers_pattern says
  // what stands before a layer's index in a name ("layers"); empty: anything.
  std::vector<std::int64_t> layers_to_transform = {};
  std::vector<std::string> layers_pattern = {};
  // Whole modules that train beside the adapter: "embed_tokens", "lm_head". With tied embeddings they are one matrix.
  std::vector<std::string> modules_to_save = {};
  double dropout = 0;  // of a linear's input on its way to A, while training only
  bool rslora = false;
  bool saves(const std::string& module) const;  // by the module's last part
};

}  // namespace shardlora
