#include "data/preview.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/log.h"
#include "checkpoint/base_model.h"
#include "cli/recipe_options.h"
#include "cli/verbs.h"
#include "run/loaded_model.h"
#include "run/training_data.h"

namespace shardlora {

Verb add_preview(CLI::App& app) {
  CLI::App* verb = app.add_subcommand(
      "preview", "what the model will see: rendered rows with the trained part marked, counts, lengths");
  const auto options = RecipeOptions::add_to(*verb);
  const auto rows = std::make_shared<std::size_t>(3);
  const auto ids = std::make_shared<bool>(false);
  verb->add_option("--rows", *rows, "how many rows to show")->capture_default_str()->type_name("N");
  verb->add_flag("--ids", *ids, "with the token ids");
  return [options, rows, ids](Rendezvous& rendezvous) {
    start_log(rendezvous.rank());
    const Recipe recipe = options->load();
    const BaseModel base = BaseModel::open(recipe.base_model);
    const Tokenizer tokenizer = open_tokenizer(base);
    const TrainingData data = load_training_data(recipe, tokenizer);
    if (rendezvous.rank() != 0) return;
    for (std::size_t i = 0; i < std::min(*rows, data.train.samples.size()); ++i) {
      const Sample& sample = data.train.samples[i];
      fmt::print("--- {}:{}\n{}\n", sample.source, sample.line,
                 preview_row(sample, tokenizer, colours_wanted(STDOUT_FILENO)));
      if (*ids) fmt::print("{}\n", preview_ids(sample, tokenizer));
    }
    fmt::print("{}", audit_of(data, recipe, tokenizer).text());
  };
}

}  // namespace shardlora
