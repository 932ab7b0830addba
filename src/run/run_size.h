// What of a run's size lets it learn little, said before it begins, each with the setting that helps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recipe/recipe.h"

namespace shardlora {

struct RunSize {
  std::int64_t steps = 0, steps_of_epoch = 0;
  std::int64_t global_batch_size = 1;  // rows of a step
  std::int64_t samples = 0, held_out = 0;
  int ranks = 1;
};

std::vector<std::string> size_warnings(const Recipe& recipe, const RunSize& size);

}  // namespace shardlora
