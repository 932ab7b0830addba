#include <fmt/format.h>

#include "cli/verbs.h"
#include "train/key_reference.h"

namespace shardlora {

Verb add_keys(CLI::App& app) {
  app.add_subcommand("keys", "list the keys of a recipe and what becomes of other trainers' keys (docs/keys.md)");
  return [](Rendezvous& rendezvous) {
    if (rendezvous.rank() == 0) fmt::print("{}", keys_markdown());
  };
}

}  // namespace shardlora
