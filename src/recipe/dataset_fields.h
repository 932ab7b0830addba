// The keys of one dataset in a recipe's lists: one row a key.
#pragma once

#include <string>
#include <vector>

#include "base/config_kinds.h"
#include "data/formats/dataset_source.h"

namespace shardlora {

// A list of mappings, or of paths alone. Keys of other trainers go to `notes`.
std::vector<DatasetSource> to_datasets(const ConfigValue& list, ConfigNotes& notes);
// The keys of such a mapping.
using DatasetField = ConfigField<DatasetSource>;
const std::vector<DatasetField>& dataset_fields();
// The list as YAML that to_datasets reads back to the same, beginning with a line end.
std::string datasets_yaml(const std::vector<DatasetSource>& sources);

}  // namespace shardlora
