#include "train/training_data.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>

#include "base/parallel.h"
#include "data/order.h"

namespace shardlora {

namespace {

// The chat template is looked at only where a dataset has conversations: a base model need not have one.
struct RecipeTokenizer {
  RecipeTokenizer(const Tokenizer& tokenizer, const TemplateChoice& choice) : records(tokenizer, nullptr) {
    if (choice.is_models_own() && tokenizer.chat_template().empty()) return;
    chat.emplace(chat_template_of(tokenizer, choice));
    maker.emplace(tokenizer, *chat);
    records = RecordTokenizer(tokenizer, &*maker);
  }
  std::optional<ChatTemplate> chat;
  std::optional<SampleMaker> maker;
  RecordTokenizer records;
};

}  // namespace

std::int64_t longest(const std::vector<Sample>& samples) {
  std::size_t length = 0;
  for (const Sample& s : samples) length = std::max(length, s.tokens.size());
  return static_cast<std::int64_t>(length);
}

TrainingData load_training_data(const Recipe& recipe, const Tokenizer& tokenizer) {
  const RecipeTokenizer with(tokenizer, recipe.chat_template);
  const SampleOptions options{recipe.sequence_len, {.inputs = recipe.train_on_inputs}, recipe.excess_length_strategy};
  TrainingData data;
  if (with.maker)
    for (const std::string& warning : with.maker->template_warnings(options.train_on)) spdlog::warn("{}", warning);
  data.train = load_samples(recipe.datasets, with.records, options, available_processors());
  if (!recipe.test_datasets.empty()) {
    data.held_out = load_samples(recipe.test_datasets, with.records, options, available_processors());
    return data;
  }
  const Split split = split_rows(data.train.samples.size(), recipe.val_set_size, recipe.seed);
  std::vector<Sample> kept;
  for (const std::uint64_t i : split.validation) data.held_out.samples.push_back(std::move(data.train.samples[i]));
  for (const std::uint64_t i : split.train) kept.push_back(std::move(data.train.samples[i]));
  data.train.samples = std::move(kept);
  return data;
}

std::vector<Prompt> load_test_prompts(const Recipe& recipe, const Tokenizer& tokenizer) {
  const RecipeTokenizer with(tokenizer, recipe.chat_template);
  return load_prompts(recipe.test_datasets, with.records);
}

}  // namespace shardlora
