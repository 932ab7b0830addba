#include <fmt/format.h>

#include <memory>

#include "cli/verbs.h"
#include "recipe/key_reference.h"

namespace shardlora {

Verb add_keys(CLI::App& app) {
  struct Options {
    std::string word;
    bool markdown = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App& verb = *app.add_subcommand("keys", "explain the keys of a recipe, those of other trainers among them");
  verb.add_option("WORD", options->word, "only keys that have this word in their names or their help")->type_name("");
  verb.add_flag("--markdown", options->markdown, "all of them as a page: docs/recipe.md");
  return [options](Rendezvous& rendezvous) {
    if (rendezvous.rank() == 0) fmt::print("{}", options->markdown ? keys_markdown() : keys_text(options->word));
  };
}

}  // namespace shardlora
