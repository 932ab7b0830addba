#include "lora/lora_modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace shardlora {
std::vector<std::string> names_of_linears() {
  std::vector<std::string> names;
  for (const std::string_view linear : kLayerLinears) names.emplace_back(linear.substr(linear.rfind('.') + 1));
  return names;
}

LoraModules::LoraModules(const LoraConfig& config)
    : config_(config), ranks_(config.rank_pattern, "rank_pattern"), alphas_(config.alpha_pattern, "alpha_pattern") {
  if (!config.target_pattern.empty()) target_.emplace(config.target_pattern, "target_modules");
  for (const std::string& pattern : config.layers_pattern)
    layer_.emplace_back(fmt::format(R"((?:^|.*?\.){}\.(?P<idx>\d+)\.)", pattern), "layers_pattern");
  if (layer_.empty()) layer_.emplace_back(R"(.*?\.[^.]*\.(?P<idx>\d+)\.)", "layers_pattern");
}

bool LoraModules::targets(const std::string& module) const {
  if (target_) return target_->matches(module);
  const auto& targets = config_.target_modules;
  // A whole name means that one module, whatever the layers.
  if (std::find(targets.begin(), targets.end(), module) != targets.end()) return true;
  return listed(module) && (config_.layers_to_transform.empty() || in_a_chosen_layer(module));
}

bool LoraModules::listed(const std::string& module) const {
  return std::any_of(config_.target_modules.begin(), config_.target_modules.end(),
                     [&](const std::string& target) { return module.ends_with("." + target); });
}

bool LoraModules::in_a_chosen_layer(const std::string& module) const {
  for (const Regex& pattern : layer_) {
    const std::optional<std::string> found = pattern.group(module, "idx");
    if (!found) continue;
    std::int64_t index = 0;
    std::from_chars(found->data(), found->data() + found->size(), index);
    const auto& layers = config_.layers_to_transform;
    return std::find(layers.begin(), layers.end(), index) != layers.end();
  }
  return false;
}

std::int64_t LoraModules::rank(const std::string& module) const {
  const std::int64_t* own = ranks_.find(module);
  return own == nullptr ? config_.rank : *own;
}

double LoraModules::alpha(const std::string& module) const {
  const double* own = alphas_.find(module);
  return own == nullptr ? config_.alpha : *own;
}

double LoraModules::scale(const std::string& module) const {
  const auto r = static_cast<double>(rank(module));
  return alpha(module) / (config_.rslora ? std::sqrt(r) : r);
}

}  // namespace shardlora
