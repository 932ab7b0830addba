// The table of a recipe's keys: one row a key, in groups, a file a group.
#pragma once

#include <optional>
#include <vector>

#include "base/config_kinds.h"
#include "recipe/recipe.h"

namespace shardlora {

// A recipe while it is read: keys that only have a meaning together wait here.
struct RecipeDraft : Recipe {
  std::optional<bool> load_in_4bit;
  std::optional<std::string> format;
  std::optional<std::int64_t> max_samples;  // of every data set that says nothing else
  ConfigNotes said;
};

using RecipeField = ConfigField<RecipeDraft>;
using RecipeKinds = ConfigKinds<RecipeDraft>;

struct KeyGroup {
  const char* title;
  std::vector<RecipeField> fields;
};
const std::vector<KeyGroup>& recipe_groups();
// Those of all groups, in the order in which they are read and written.
const std::vector<RecipeField>& recipe_fields();

std::vector<RecipeField> base_fields();
std::vector<RecipeField> adapter_fields();
std::vector<RecipeField> data_fields();
std::vector<RecipeField> step_fields();
std::vector<RecipeField> schedule_fields();
std::vector<RecipeField> evaluation_fields();
std::vector<RecipeField> run_fields();

// What follows from keys together: an Error, or the draft is settled.
void settle_format(RecipeDraft& draft, const GivenKeys& keys, const std::string& path);
void settle_adapter(RecipeDraft& draft, const GivenKeys& keys);
void settle_dtype(RecipeDraft& draft, const GivenKeys& keys);
// What must hold between keys of a group.
void check_schedule(const RecipeDraft& draft, const GivenKeys& keys, ConfigProblems& problems);
void check_evaluation(const RecipeDraft& draft, const GivenKeys& keys, ConfigProblems& problems);

// Readers whose keys other trainers give further values, in near_words.cpp.
void read_optimizer(RecipeDraft& draft, const ConfigValue& value);
void read_checkpointing(RecipeDraft& draft, const ConfigValue& value);
// Says where the trainer that a recipe was written for fills in other values, in foreign_defaults.cpp.
void say_other_defaults(RecipeDraft& draft, const GivenKeys& keys);
// Drops what the file says under other names than the command line; in recipe_overrides.cpp.
void let_command_line_win(GivenKeys& keys);

}  // namespace shardlora
