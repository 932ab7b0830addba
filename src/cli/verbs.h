// The verbs of the command line, one file each. A verb adds its options to the command line and returns what runs when
// it is chosen, on every rank.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "comm/rendezvous.h"

namespace shardlora {

using Verb = std::function<void(Rendezvous&)>;

Verb add_train(CLI::App& app);
Verb add_eval(CLI::App& app);
Verb add_generate(CLI::App& app);
Verb add_chat(CLI::App& app);
Verb add_preview(CLI::App& app);
Verb add_tokenize(CLI::App& app);
Verb add_quantize(CLI::App& app);
Verb add_keys(CLI::App& app);

}  // namespace shardlora
