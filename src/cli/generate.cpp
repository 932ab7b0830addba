#include <fmt/format.h>

#include "base/log.h"
#include "cli/answers.h"
#include "cli/verbs.h"
#include "data/sample.h"

namespace shardlora {
namespace {

struct Options {
  std::string model, adapter, prompt, system, format = "nf4";
  std::int64_t new_tokens = 256;
  bool raw = false;
};

void generate(Rendezvous& rendezvous, const Options& o) {
  Recipe recipe;
  recipe.base_model = o.model;
  recipe.quantization.format = o.format == "nf4" ? BaseFormat::kNF4 : BaseFormat::kNone;
  Ranks ranks(rendezvous, recipe);
  start_log(ranks.rank());
  const BaseModel base = BaseModel::open(o.model);
  const Tokenizer tokenizer = open_tokenizer(base);

  TokenIds prompt;
  if (o.raw) {
    for (const Token& token : tokenizer.encode(o.prompt)) prompt.push_back(token.id);
  } else {
    nlohmann::ordered_json messages = nlohmann::ordered_json::array();
    if (!o.system.empty()) messages.push_back({{"role", "system"}, {"content", o.system}});
    messages.push_back({{"role", "user"}, {"content", o.prompt}});
    const ChatTemplate chat = chat_template_of(tokenizer);
    prompt = SampleMaker(tokenizer, chat).tokens_of(messages);
  }
  if (prompt.empty()) throw UsageError("--prompt is empty; give the text to go on from");

  Session session = session_with_adapter(ranks, recipe, base, o.adapter);
  const Answers answers = answer(ranks, session, tokenizer, {prompt}, o.new_tokens, [](std::size_t) {});
  for (const std::string& text : answers.texts) fmt::print("{}\n", text);
}

}  // namespace

Verb add_generate(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("generate", "greedy text from a model, with or without an adapter");
  const auto o = std::make_shared<Options>();
  verb->add_option("--model", o->model, "a Hugging Face folder or a GGUF file")->required()->type_name("MODEL");
  verb->add_option("--adapter", o->adapter, "a PEFT adapter")->type_name("DIR");
  verb->add_option("--prompt", o->prompt, "what the user says")->required()->type_name("TEXT");
  verb->add_option("--system", o->system, "what the system says")->type_name("TEXT");
  verb->add_option("--max-new-tokens", o->new_tokens, "of the answer, at most")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--format", o->format, "how the base rests")
      ->check(CLI::IsMember({"nf4", "none"}))
      ->capture_default_str();
  verb->add_flag("--raw", o->raw, "go on from the text itself, without the model's chat template");
  return [o](Rendezvous& rendezvous) { generate(rendezvous, *o); };
}

}  // namespace shardlora
