#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/verbs.h"
#include "data/tokenizer.h"

namespace shardlora {

Verb add_tokenize(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("tokenize", "read lines from stdin, write a JSON array of token ids for each");
  const auto model = std::make_shared<std::string>();
  verb->add_option("--model", *model, "a model: a folder or a GGUF file")->required()->type_name("DIR|FILE.gguf");
  return [model](Rendezvous&) {
    const Tokenizer tokenizer = Tokenizer::open(*model);
    std::string line;
    while (std::getline(std::cin, line)) {
      nlohmann::json ids = nlohmann::json::array();
      for (const Token& token : tokenizer.encode(line)) ids.push_back(token.id);
      fmt::print("{}\n", ids.dump());
    }
  };
}

}  // namespace shardlora
