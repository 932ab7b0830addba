// Recipes out of text. Their file is r.yaml; its folder is left out of all that is said about them.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "io/temporary_directory.h"
#include "recipe/recipe.h"

namespace shardlora {

inline std::string without_folder(std::string text, const TemporaryDirectory& folder) {
  const std::string name = folder.path().string() + "/";
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name)) text.erase(at, name.size());
  return text;
}

inline Recipe load_text(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  const TemporaryDirectory folder;
  Recipe recipe = load_recipe(folder.write("r.yaml", yaml).string(), overrides);
  for (std::string& note : recipe.notes) note = without_folder(std::move(note), folder);
  return recipe;
}

inline std::string error_of_text(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  const TemporaryDirectory folder;
  try {
    load_recipe(folder.write("r.yaml", yaml).string(), overrides);
  } catch (const Error& error) {
    return without_folder(error.what(), folder);
  }
  return "no error";
}

}  // namespace shardlora
