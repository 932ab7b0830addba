#include "recipe/recipe_fields.h"

namespace shardlora {

const std::vector<KeyGroup>& recipe_groups() {
  static const std::vector<KeyGroup> groups{{"The base model", base_fields()},
                                            {"The adapter", adapter_fields()},
                                            {"Data", data_fields()},
                                            {"Steps and the optimizer", step_fields()},
                                            {"The learning rate", schedule_fields()},
                                            {"Evaluation", evaluation_fields()},
                                            {"The run", run_fields()}};
  return groups;
}

const std::vector<RecipeField>& recipe_fields() {
  static const std::vector<RecipeField> table = [] {
    std::vector<RecipeField> all;
    for (const KeyGroup& group : recipe_groups()) all.insert(all.end(), group.fields.begin(), group.fields.end());
    return all;
  }();
  return table;
}

}  // namespace shardlora
