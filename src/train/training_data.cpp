#include "train/training_data.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "data/order.h"

namespace shardlora {

std::vector<std::string> paths_of(const std::vector<DatasetSource>& sources) {
  std::vector<std::string> paths;
  for (const DatasetSource& source : sources) paths.push_back(source.path);
  return paths;
}

std::int64_t longest(const std::vector<Sample>& samples) {
  std::size_t length = 0;
  for (const Sample& s : samples) length = std::max(length, s.tokens.size());
  return static_cast<std::int64_t>(length);
}

TrainingData load_training_data(const Recipe& recipe, const SampleMaker& maker) {
  const SampleOptions options{recipe.sequence_len, {.inputs = recipe.train_on_inputs}, recipe.excess_length_strategy};
  TrainingData data;
  for (const std::string& warning : maker.template_warnings(options.train_on)) spdlog::warn("{}", warning);
  data.train = maker.load_samples(paths_of(recipe.datasets), options);
  if (!recipe.test_datasets.empty()) {
    data.held_out = maker.load_samples(paths_of(recipe.test_datasets), options);
    return data;
  }
  const Split split = split_rows(data.train.samples.size(), recipe.val_set_size, recipe.seed);
  std::vector<Sample> kept;
  for (const std::uint64_t i : split.validation) data.held_out.samples.push_back(std::move(data.train.samples[i]));
  for (const std::uint64_t i : split.train) kept.push_back(std::move(data.train.samples[i]));
  data.train.samples = std::move(kept);
  return data;
}

}  // namespace shardlora
