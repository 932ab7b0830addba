// What a recipe says about the adapter, against what the adapter that it starts from says of itself.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "checkpoint/adapter.h"
#include "lora/lora_modules.h"
#include "param/spec.h"
#include "recipe/recipe.h"

namespace shardlora {

// The adapter that a recipe without lora_model_dir trains.
LoraConfig lora_config(const Recipe& recipe);

// The keys that lora_model_dir's own configuration answers. Where it is given and they are not, they mean nothing.
std::span<const std::string_view> keys_of_adapter();

// The adapter of recipe.lora_model_dir goes on as it is. An Error where the recipe asks for another one: the key, its
// line and both values.
void check_recipe_fits(const Recipe& recipe, const Adapter& adapter, bool tied_embeddings);

// A new adapter has, in a model of `units`, modules for each of the recipe's patterns and layers; else an Error: what
// matches nothing is a slip.
void check_rules_are_used(const Recipe& recipe, const std::vector<UnitSpec>& units);

}  // namespace shardlora
