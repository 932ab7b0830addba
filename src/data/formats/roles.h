// What the files of others call the roles that templates know.
#pragma once

#include <optional>
#include <string>

#include "data/formats/dataset_source.h"

namespace shardlora {

// What the dataset's own `roles` call it.
std::optional<std::string> role_by_dataset(const std::string& name, const DatasetSource& source);
// The template's name of a role: by the dataset's own `roles`, else by the usual names (human: user, gpt: assistant).
// Nothing where neither knows it.
std::optional<std::string> template_role(const std::string& name, const DatasetSource& source);

}  // namespace shardlora
