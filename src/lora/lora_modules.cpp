#include "lora/lora_modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace shardlora {
namespace {

// The first rule that matches the name's end, from its start or from behind a dot.
template <typename T>
std::vector<std::pair<Regex, T>> rules_of(const std::vector<std::pair<std::string, T>>& patterns, const char* what) {
  std::vector<std::pair<Regex, T>> rules;
  for (const auto& [pattern, value] : patterns) {
    const Regex as_written(pattern, what);  // its Error shows what the user wrote
    rules.emplace_back(Regex(fmt::format(R"((.*\.)?({})$)", pattern), what), value);
  }
  return rules;
}

template <typename T>
T value_for(const std::string& module, const std::vector<std::pair<Regex, T>>& rules, T otherwise) {
  const auto rule = std::find_if(rules.begin(), rules.end(), [&](const auto& r) { return r.first.matches(module); });
  return rule == rules.end() ? otherwise : rule->second;
}

}  // namespace

std::vector<std::string> names_of_linears() {
  std::vector<std::string> names;
  for (const std::string_view linear : kLayerLinears) names.emplace_back(linear.substr(linear.rfind('.') + 1));
  return names;
}

LoraModules::LoraModules(const LoraConfig& config)
    : config_(config),
      ranks_(rules_of(config.rank_pattern, "rank_pattern")),
      alphas_(rules_of(config.alpha_pattern, "alpha_pattern")) {
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

std::int64_t LoraModules::rank(const std::string& module) const { return value_for(module, ranks_, config_.rank); }

double LoraModules::alpha(const std::string& module) const { return value_for(module, alphas_, config_.alpha); }

double LoraModules::scale(const std::string& module) const {
  const auto r = static_cast<double>(rank(module));
  return alpha(module) / (config_.rslora ? std::sqrt(r) : r);
}

}  // namespace shardlora
