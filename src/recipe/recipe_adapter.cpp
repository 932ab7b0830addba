#include "recipe/recipe_adapter.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "base/error.h"
#include "lora/lora_modules.h"

namespace shardlora {
namespace {

constexpr std::array<std::string_view, 10> kKeys = {
    "lora_r",          "lora_alpha",          "lora_rank_pattern",  "lora_alpha_pattern",  "lora_layers_to_transform",
    "peft_use_rslora", "lora_layers_pattern", "lora_target_linear", "lora_target_modules", "lora_modules_to_save"};

// Modules by their last part, as lists and patterns of PEFT may name them in full.
std::set<std::string> last_parts(const std::vector<std::string>& modules) {
  std::set<std::string> parts;
  for (const std::string& module : modules) parts.insert(module.substr(module.rfind('.') + 1));
  return parts;
}

// Whether an expression means these modules and no other linear of their layers.
bool means(const LoraModules& expression, const std::vector<std::string>& adapted) {
  const std::set<std::string> wanted(adapted.begin(), adapted.end());
  std::set<std::string> layers;  // "model.layers.3."
  for (const std::string& module : adapted)
    layers.insert(module.substr(0, module.rfind('.', module.rfind('.') - 1) + 1));
  for (const std::string& layer : layers)
    for (const std::string_view linear : kLayerLinears) {
      const std::string module = layer + std::string(linear);
      if (expression.targets(module) != wanted.contains(module)) return false;
    }
  return true;
}

std::string shown(const auto& names) { return names.empty() ? "none" : fmt::format("[{}]", fmt::join(names, ", ")); }

template <typename T>
std::string shown(const std::vector<std::pair<std::string, T>>& pattern) {
  std::vector<std::string> rules;
  for (const auto& [module, value] : pattern) rules.push_back(fmt::format("{}: {}", module, value));
  return rules.empty() ? "none" : fmt::format("{{{}}}", fmt::join(rules, ", "));
}

// Of a parameter's name, the module that it belongs to; "" for what is no A of an adapter.
std::string adapted_module(std::string_view parameter) {
  constexpr std::string_view kA = ".lora_A.weight";
  return parameter.ends_with(kA) ? std::string(parameter.substr(0, parameter.size() - kA.size())) : "";
}

// A list fits where it names the same kinds of modules, an expression where it is the adapter's or matches the same.
void check_targets(const Recipe& recipe, const LoraConfig& asked, const Adapter& start, const auto& check) {
  std::vector<std::string> adapted;
  for (const auto& [name, tensor] : start.tensors)
    if (std::string module = adapted_module(name); !module.empty()) adapted.push_back(std::move(module));
  const auto its = last_parts(adapted);
  const std::string have = start.config.target_pattern.empty() ? shown(its) : start.config.target_pattern;
  if (!asked.target_pattern.empty()) {
    const LoraModules modules(asked);
    const bool same = start.config.target_pattern.empty() ? means(modules, adapted)
                                                          : asked.target_pattern == start.config.target_pattern;
    return check("lora_target_modules", same, asked.target_pattern, have);
  }
  const bool linear = recipe.lora_target_linear && recipe.adapter_places.contains("lora_target_linear");
  const auto targets = last_parts(asked.target_modules);
  check(linear ? "lora_target_linear" : "lora_target_modules", targets == its, shown(targets), have);
}

}  // namespace

LoraConfig lora_config(const Recipe& recipe) {
  LoraConfig config{.rank = recipe.lora_r, .alpha = recipe.lora_alpha, .target_modules = recipe.lora_target_modules};
  if (recipe.lora_target_linear)
    config.target_modules = names_of_linears();
  else
    config.target_pattern = recipe.lora_target_pattern;
  config.rank_pattern = recipe.lora_rank_pattern;
  config.alpha_pattern = recipe.lora_alpha_pattern;
  config.layers_to_transform = recipe.lora_layers_to_transform;
  config.layers_pattern = recipe.lora_layers_pattern;
  config.rslora = recipe.peft_use_rslora;
  config.modules_to_save = recipe.lora_modules_to_save;
  return config;
}

std::span<const std::string_view> keys_of_adapter() { return kKeys; }

void check_rules_are_used(const Recipe& recipe, const std::vector<UnitSpec>& units) {
  std::vector<std::string> adapted;
  for (const UnitSpec& unit : units)
    for (const ParamSpec& param : unit.params)
      if (std::string module = adapted_module(param.name); !module.empty()) adapted.push_back(std::move(module));
  const auto place = [&](const char* key) {
    const auto given = recipe.adapter_places.find(key);
    return given == recipe.adapter_places.end() ? std::string(key) : given->second;
  };
  const auto check = [&](const char* key, const std::string& rule, const LoraConfig& alone) {
    const LoraModules modules(alone);
    if (std::none_of(adapted.begin(), adapted.end(), [&](const std::string& m) { return modules.rank(m) == 2; }))
      fail("{}: \"{}\" is the name of no module that is adapted; those are {} and so on", place(key), rule,
           adapted.front());
  };
  // Each rule alone gives its modules a rank that the others don't have.
  for (const auto& [regex, rank] : recipe.lora_rank_pattern)
    check("lora_rank_pattern", regex, {.rank = 1, .rank_pattern = {{regex, 2}}});
  for (const auto& [regex, alpha] : recipe.lora_alpha_pattern)
    check("lora_alpha_pattern", regex, {.rank = 1, .rank_pattern = {{regex, 2}}});
  for (const std::int64_t layer : recipe.lora_layers_to_transform)
    if (std::none_of(adapted.begin(), adapted.end(),
                     [&](const std::string& m) { return m.starts_with(fmt::format("model.layers.{}.", layer)); }))
      fail("{}: nothing is adapted in layer {}; the model's layers are counted from 0",
           place("lora_layers_to_transform"), layer);
}

void check_recipe_fits(const Recipe& recipe, const Adapter& start, bool tied_embeddings) {
  const LoraConfig asked = lora_config(recipe), &adapter = start.config;
  const auto check = [&](const char* key, bool same, const std::string& want, const std::string& have) {
    const auto given = recipe.adapter_places.find(key);
    if (given == recipe.adapter_places.end() || same) return;
    fail("{}: {}, but the adapter in {} has {} and goes on as it is; write that, or remove this key", given->second,
         want, recipe.lora_model_dir, have);
  };
  check("lora_r", asked.rank == adapter.rank, std::to_string(asked.rank), std::to_string(adapter.rank));
  check("lora_alpha", asked.alpha == adapter.alpha, fmt::format("{}", asked.alpha), fmt::format("{}", adapter.alpha));
  check("peft_use_rslora", asked.rslora == adapter.rslora, fmt::format("{}", asked.rslora),
        fmt::format("{}", adapter.rslora));
  check("lora_rank_pattern", asked.rank_pattern == adapter.rank_pattern, shown(asked.rank_pattern),
        shown(adapter.rank_pattern));
  check("lora_alpha_pattern", asked.alpha_pattern == adapter.alpha_pattern, shown(asked.alpha_pattern),
        shown(adapter.alpha_pattern));
  check("lora_layers_to_transform", asked.layers_to_transform == adapter.layers_to_transform,
        shown(asked.layers_to_transform), shown(adapter.layers_to_transform));
  check("lora_layers_pattern", asked.layers_pattern == adapter.layers_pattern, shown(asked.layers_pattern),
        shown(adapter.layers_pattern));
  check_targets(recipe, asked, start, check);
  // Tied, embedding and head are one matrix under two names.
  const auto saved = last_parts(asked.modules_to_save), its_saved = last_parts(adapter.modules_to_save);
  check("lora_modules_to_save", tied_embeddings ? saved.empty() == its_saved.empty() : saved == its_saved, shown(saved),
        shown(its_saved));
}

}  // namespace shardlora
