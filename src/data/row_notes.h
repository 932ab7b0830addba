// What is worth a word about a row that trains all the same; said once a dataset.
#pragma once

#include <optional>
#include <string>

namespace shardlora {

struct RowNotes {
  // The prompt before one of its answers isn't how the row goes on to that answer: the model is asked in another way
  // than it learns.
  std::optional<std::string> asked_otherwise;
  // Something of the row that the template writes nowhere, and that doesn't train.
  std::optional<std::string> left_out;
};

}  // namespace shardlora
