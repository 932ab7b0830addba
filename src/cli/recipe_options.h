// The words CONFIG.yaml [key=value ...] that several verbs take.
#pragma once

#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "recipe/recipe.h"

namespace shardlora {

struct RecipeOptions {
  std::string path;
  std::vector<std::string> overrides;

  static std::shared_ptr<RecipeOptions> add_to(CLI::App& verb) {
    auto options = std::make_shared<RecipeOptions>();
    verb.add_option("CONFIG", options->path, "the recipe, a YAML file")->required()->type_name("FILE");
    verb.add_option("key=value", options->overrides, "settings that take the place of the recipe's")->type_name("");
    return options;
  }
  // Says what the recipe's reader should know; start_log comes before it.
  Recipe load() const {
    Recipe recipe = load_recipe(path, overrides);
    for (const std::string& note : recipe.notes) spdlog::info("{}", note);
    return recipe;
  }
};

}  // namespace shardlora
