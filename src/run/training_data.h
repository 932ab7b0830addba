// The samples that a recipe names: what is trained on and what is held out.
#pragma once

#include <vector>

#include "data/audit.h"
#include "recipe/recipe.h"

namespace shardlora {

struct TrainingData {
  SampleSet train;
  SampleSet held_out;  // test_datasets, or the share of val_set_size; may be empty
};

TrainingData load_training_data(const Recipe& recipe, const Tokenizer& tokenizer);
// What is odd about it; for people.
Audit audit_of(const TrainingData& data, const Recipe& recipe, const Tokenizer& tokenizer);
// What the rows of test_datasets ask.
std::vector<Prompt> load_test_prompts(const Recipe& recipe, const Tokenizer& tokenizer);
// The ids that end an answer to one of them.
std::vector<std::int32_t> ends_of_answers(const Recipe& recipe, const Tokenizer& tokenizer);

}  // namespace shardlora
