// The reference of a recipe's keys, those of other trainers among them, from the tables that read them.
#pragma once

#include <string>

namespace shardlora {

// docs/recipe.md
std::string keys_markdown();

// For a terminal of 80 columns: what has `word` in its names or its help, in whatever case; all keys of a recipe where
// it is empty. An Error, with the nearest name, where nothing has it.
std::string keys_text(const std::string& word);

}  // namespace shardlora
