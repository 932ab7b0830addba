#include "train/recipe_adapter.h"

#include <fmt/ranges.h>

#include <array>
#include <set>
#include <string>

#include "base/error.h"

namespace shardlora {
namespace {

constexpr std::array<std::string_view, 6> kKeys = {
    "lora_r", "lora_alpha", "peft_use_rslora", "lora_target_modules", "lora_target_linear", "lora_modules_to_save"};

// Modules by their last part, as lists and patterns of PEFT may name them in full.
std::set<std::string> last_parts(const std::vector<std::string>& modules) {
  std::set<std::string> parts;
  for (const std::string& module : modules) parts.insert(module.substr(module.rfind('.') + 1));
  return parts;
}

std::string shown(const std::set<std::string>& names) {
  return names.empty() ? "none" : fmt::format("[{}]", fmt::join(names, ", "));
}

}  // namespace

LoraConfig lora_config(const Recipe& recipe) {
  LoraConfig config{.rank = recipe.lora_r, .alpha = recipe.lora_alpha, .target_modules = recipe.lora_target_modules};
  if (recipe.lora_target_linear)
    config.target_modules = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  config.rslora = recipe.peft_use_rslora;
  config.modules_to_save = recipe.lora_modules_to_save;
  return config;
}

std::span<const std::string_view> keys_of_adapter() { return kKeys; }

void check_recipe_fits(const Recipe& recipe, const LoraConfig& adapter, bool tied_embeddings) {
  const LoraConfig asked = lora_config(recipe);
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
  const auto targets = last_parts(asked.target_modules), its_targets = last_parts(adapter.target_modules);
  const bool linear = recipe.lora_target_linear && recipe.adapter_places.contains("lora_target_linear");
  check(linear ? "lora_target_linear" : "lora_target_modules", targets == its_targets, shown(targets),
        shown(its_targets));
  // Tied, embedding and head are one matrix under two names.
  const auto saved = last_parts(asked.modules_to_save), its_saved = last_parts(adapter.modules_to_save);
  check("lora_modules_to_save", tied_embeddings ? saved.empty() == its_saved.empty() : saved == its_saved, shown(saved),
        shown(its_saved));
}

}  // namespace shardlora
