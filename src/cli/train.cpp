#include "base/log.h"
#include "cli/recipe_options.h"
#include "cli/verbs.h"
#include "run/loop.h"

namespace shardlora {

Verb add_train(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("train", "train an adapter; also under mpirun, one rank a process");
  const auto options = RecipeOptions::add_to(*verb);
  return [options](Rendezvous& rendezvous) {
    start_log(rendezvous.rank());
    const Recipe recipe = options->load();
    Ranks ranks(rendezvous, recipe);
    train(ranks, recipe);
  };
}

}  // namespace shardlora
