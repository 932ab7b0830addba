// The table of a recipe's keys: one row a key.
#pragma once

#include <optional>
#include <vector>

#include "base/config_fields.h"
#include "train/recipe.h"

namespace shardlora {

// A recipe while it is read: keys that only have a meaning together wait here.
struct RecipeDraft : Recipe {
  std::optional<bool> load_in_4bit;
  std::optional<BaseFormat> format;
  std::optional<std::int64_t> max_samples;  // of every data set that says nothing else
  ConfigNotes said;
};

const std::vector<ConfigField<RecipeDraft>>& recipe_fields();
// Its part about the modules that are adapted, in adapter_fields.cpp, and what follows from those keys together.
std::vector<ConfigField<RecipeDraft>> adapted_module_fields();
void settle_adapter(RecipeDraft& draft, const GivenKeys& keys);
// Its part about the learning rate's course, in schedule_fields.cpp, and what must hold between those keys.
std::vector<ConfigField<RecipeDraft>> schedule_fields();
void check_schedule(const RecipeDraft& draft, const GivenKeys& keys, ConfigProblems& problems);
// Its part about evaluation, in evaluation_fields.cpp.
std::vector<ConfigField<RecipeDraft>> evaluation_fields();
void check_evaluation(const RecipeDraft& draft, const GivenKeys& keys, ConfigProblems& problems);
// Readers whose keys other trainers give further values, in near_words.cpp.
void read_optimizer(RecipeDraft& draft, const ConfigValue& value);
void read_checkpointing(RecipeDraft& draft, const ConfigValue& value);
// Says where the trainer that a recipe was written for fills in other values, in foreign_defaults.cpp.
void say_other_defaults(RecipeDraft& draft, const GivenKeys& keys);
// Its part about the chat template, in template_fields.cpp.
std::vector<ConfigField<RecipeDraft>> template_fields();
// Drops what the file says under other names than the command line; in recipe_overrides.cpp.
void let_command_line_win(GivenKeys& keys);

}  // namespace shardlora
