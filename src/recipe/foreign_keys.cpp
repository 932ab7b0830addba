#include "recipe/foreign_keys.h"

namespace shardlora {

ForeignTable foreign_recipe_keys() {
  static const std::vector<ForeignKeys> all = [] {
    std::vector<ForeignKeys> rows;
    for (const auto* part : {&foreign_model_keys(), &foreign_adapter_keys(), &foreign_data_keys(), &foreign_step_keys(),
                             &foreign_run_keys()})
      rows.insert(rows.end(), part->begin(), part->end());
    return rows;
  }();
  return all;
}

}  // namespace shardlora
