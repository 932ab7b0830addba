// The samples that a recipe names: what is trained on and what is held out.
#pragma once

#include <vector>

#include "data/sample.h"
#include "train/recipe.h"

namespace shardlora {

struct TrainingData {
  SampleSet train;
  SampleSet held_out;  // test_datasets, or the share of val_set_size; may be empty
};

TrainingData load_training_data(const Recipe& recipe, const SampleMaker& maker);

std::vector<std::string> paths_of(const std::vector<DatasetSource>& sources);
std::int64_t longest(const std::vector<Sample>& samples);

}  // namespace shardlora
