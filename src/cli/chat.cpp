#include <fmt/format.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "base/log.h"
#include "cli/generation_options.h"
#include "cli/responder.h"
#include "cli/verbs.h"
#include "data/sample_maker.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kHelp =
    "/clear forgets the conversation, /exit (or Ctrl-D) ends; anything else is said to the model";

// What was said so far, as rank 0 has it, and the person who says it: lines of stdin.
class Conversation {
 public:
  Conversation(const SampleMaker& maker, const std::string& system, std::int64_t context)
      : maker_(maker), system_(system), context_(context) {
    clear();
  }

  // The tokens of the conversation with what the person says next; none where they have gone.
  TokenIds listen() {
    const bool terminal = isatty(STDIN_FILENO) != 0;
    for (std::string line;;) {
      if (terminal) {
        fmt::print("> ");
        std::fflush(stdout);
      }
      if (!std::getline(std::cin, line) || line == "/exit" || line == "/quit") return {};
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      if (line[0] == '/' && command(line)) continue;
      if (TokenIds prompt = prompt_of(line); !prompt.empty()) return prompt;
    }
  }
  void answered(const std::string& text) { messages_.push_back({{"role", "assistant"}, {"content", text}}); }

 private:
  void clear() {
    messages_ = Json::array();
    if (!system_.empty()) messages_.push_back({{"role", "system"}, {"content", system_}});
  }

  bool command(const std::string& line) {
    if (line == "/clear")
      clear();
    else if (line == "/help")
      fmt::print("{}\n", kHelp);
    else if (line.find(' ') == std::string::npos)
      fmt::print("unknown command {}; {}\n", line, kHelp);
    else
      return false;
    return true;
  }

  // Where the model cannot be asked this, the person is told why, and it counts as not said.
  TokenIds prompt_of(const std::string& line) {
    messages_.push_back({{"role", "user"}, {"content", line}});
    try {
      TokenIds prompt = maker_.tokens_of(messages_);
      if (std::ssize(prompt) <= context_) return prompt;
      fmt::print("the conversation has {} tokens, more than --context ({}); /clear forgets it\n", prompt.size(),
                 context_);
    } catch (const Error& error) {
      fmt::print("{}\n", error.what());
    }
    messages_.erase(messages_.size() - 1);
    return {};
  }

  const SampleMaker& maker_;
  const std::string system_;
  const std::int64_t context_;
  Json messages_;
};

void chat(Rendezvous& rendezvous, const GenerationOptions& o, std::int64_t context) {
  start_log(rendezvous.rank());
  const Recipe recipe = o.recipe();
  Ranks ranks(rendezvous, recipe);
  const BaseModel base = BaseModel::open(recipe.base_model);
  const Tokenizer tokenizer = open_tokenizer(base);
  const ChatTemplate chat = chat_template_of(tokenizer, o.template_choice());
  const SampleMaker maker(tokenizer, chat);

  context = std::min(context, base.config().max_positions);
  const GenerateLimits limits{.prompt_tokens = context, .new_tokens = o.new_tokens};
  const auto responder_of = [&](const LoadedModel& loaded) {
    return std::make_shared<Responder>(ranks, loaded, tokenizer, maker.ends(), limits, o.sampling);
  };
  LoadedModel loaded = load_with_adapter(ranks, recipe, base, o.adapter, {.rehearse = responder_of});
  const auto responder = responder_of(loaded);
  Conversation conversation(maker, o.system, context);
  if (ranks.first() && isatty(STDIN_FILENO) != 0) fmt::print("{}\n", kHelp);
  for (;;) {
    const TokenIds prompt = ranks.first() ? conversation.listen() : TokenIds{};
    if (ranks.exchange({static_cast<double>(prompt.size())})[0][0] == 0) break;
    const std::string answer = responder->respond(prompt, [](std::string_view piece) {
      fmt::print("{}", piece);
      std::fflush(stdout);
    });
    if (!ranks.first()) continue;
    fmt::print("\n");
    conversation.answered(answer);
  }
}

}  // namespace

Verb add_chat(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("chat", "talk to a model in the terminal, with or without an adapter");
  const auto o = GenerationOptions::add_to(*verb, {.temperature = 0.7, .top_p = 0.9});
  const auto context = std::make_shared<std::int64_t>(4096);
  verb->add_option("--context", *context, "tokens of the conversation, at most")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  return [o, context](Rendezvous& rendezvous) { chat(rendezvous, *o, *context); };
}

}  // namespace shardlora
