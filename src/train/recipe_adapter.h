// What a recipe says about the adapter, against what the adapter that it starts from says of itself.
#pragma once

#include <span>
#include <string_view>

#include "lora/lora.h"
#include "train/recipe.h"

namespace shardlora {

// The adapter that a recipe without lora_model_dir trains.
LoraConfig lora_config(const Recipe& recipe);

// The keys that lora_model_dir's own configuration answers. Where it is given and they are not, they mean nothing.
std::span<const std::string_view> keys_of_adapter();

// The adapter of recipe.lora_model_dir goes on as it is. An Error where the recipe asks for another one: the key, its
// line and both values.
void check_recipe_fits(const Recipe& recipe, const LoraConfig& adapter, bool tied_embeddings);

}  // namespace shardlora
