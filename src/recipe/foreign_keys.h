// The tables of other trainers' keys, one file a theme: foreign_*_keys.cpp.
#pragma once

#include <vector>

#include "base/foreign_keys.h"

namespace shardlora {

// Whose documentation has a key.
inline constexpr std::string_view kAxolotl = "axolotl", kFactory = "LLaMA-Factory", kHuggingFace = "Hugging Face",
                                  kBoth = "axolotl, LLaMA-Factory", kOwn = "shardlora, later";

const std::vector<ForeignKeys>& foreign_model_keys();
const std::vector<ForeignKeys>& foreign_adapter_keys();
const std::vector<ForeignKeys>& foreign_data_keys();
const std::vector<ForeignKeys>& foreign_step_keys();
const std::vector<ForeignKeys>& foreign_run_keys();
// All of these.
ForeignTable foreign_recipe_keys();
// Inside of a data set.
const std::vector<ForeignKeys>& foreign_keys_of_a_dataset();

}  // namespace shardlora
