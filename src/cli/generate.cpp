#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdio>

#include "base/log.h"
#include "cli/generation_options.h"
#include "cli/responder.h"
#include "cli/verbs.h"
#include "data/sample_maker.h"

namespace shardlora {
namespace {

struct PromptOptions {
  std::string prompt;
  bool raw = false;
};

// What the model is asked, and what ends its answer.
struct Question {
  TokenIds prompt, ends;
};

Question question(const Tokenizer& tokenizer, const GenerationOptions& o, const PromptOptions& p) {
  Question question{{}, tokenizer.ends()};
  if (p.raw) {
    if (const auto bos = tokenizer.bos_to_add()) question.prompt.push_back(*bos);
    for (const Token& token : tokenizer.encode(p.prompt)) question.prompt.push_back(token.id);
  } else {
    nlohmann::ordered_json messages = nlohmann::ordered_json::array();
    if (!o.system.empty()) messages.push_back({{"role", "system"}, {"content", o.system}});
    messages.push_back({{"role", "user"}, {"content", p.prompt}});
    const ChatTemplate chat = chat_template_of(tokenizer, o.template_choice());
    const SampleMaker maker(tokenizer, chat);
    question = {maker.tokens_of(messages), maker.ends()};
  }
  if (question.prompt.empty()) throw UsageError("--prompt is empty; give the text to go on from");
  return question;
}

void generate(Rendezvous& rendezvous, const GenerationOptions& o, const PromptOptions& p) {
  start_log(rendezvous.rank());
  const Recipe recipe = o.recipe();
  Ranks ranks(rendezvous, recipe);
  const BaseModel base = BaseModel::open(recipe.base_model);
  const Tokenizer tokenizer = open_tokenizer(base);
  const auto [prompt, ends] = question(tokenizer, o, p);

  const GenerateLimits limits{.prompt_tokens = std::ssize(prompt), .new_tokens = o.new_tokens};
  const auto responder_of = [&](const LoadedModel& loaded) {
    return std::make_shared<Responder>(ranks, loaded, tokenizer, ends, limits, o.sampling);
  };
  LoadedModel loaded = load_with_adapter(ranks, recipe, base, o.adapter, {.rehearse = responder_of});
  const auto responder = responder_of(loaded);
  responder->respond(ranks.first() ? prompt : TokenIds{}, [](std::string_view piece) {
    fmt::print("{}", piece);
    std::fflush(stdout);
  });
  if (ranks.first()) fmt::print("\n");
}

}  // namespace

Verb add_generate(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("generate", "text from a model, with or without an adapter");
  const auto o = GenerationOptions::add_to(*verb, {});
  const auto p = std::make_shared<PromptOptions>();
  verb->add_option("--prompt", p->prompt, "what the user says")->required()->type_name("TEXT");
  verb->add_flag("--raw", p->raw, "go on from the text itself, without the model's chat template");
  return [o, p](Rendezvous& rendezvous) { generate(rendezvous, *o, *p); };
}

}  // namespace shardlora
