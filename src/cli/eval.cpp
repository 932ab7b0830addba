#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/file.h"
#include "base/log.h"
#include "cli/answers.h"
#include "cli/recipe_options.h"
#include "cli/verbs.h"
#include "run/loop.h"
#include "run/training_data.h"

namespace shardlora {
namespace {

constexpr std::int64_t kAnswerTokens = 64;

struct Options {
  std::string adapter, losses;
  bool answers = false, json = false;
  std::size_t show = 0;
};

// Equal as JSON where the reference is JSON, else as text.
bool equal_answers(const std::string& answer, const std::string& reference) {
  const auto expected = nlohmann::json::parse(reference, nullptr, false);
  if (expected.is_discarded()) return answer == reference;
  return nlohmann::json::parse(answer, nullptr, false) == expected;
}

std::vector<TokenIds> tokens_of(const std::vector<Prompt>& prompts) {
  std::vector<TokenIds> tokens;
  for (const Prompt& p : prompts) tokens.push_back(p.tokens);
  return tokens;
}

struct Score {
  std::size_t exact = 0, answered = 0;
};

Score score_answers(Ranks& ranks, LoadedModel& loaded, const Tokenizer& tokenizer, const TokenIds& ends,
                    const std::vector<Prompt>& prompts, std::size_t show) {
  const std::vector<TokenIds> tokens = tokens_of(prompts);
  const Answers answers = answer(ranks, loaded, tokenizer, ends, tokens, kAnswerTokens, [&](std::size_t done) {
    if (ranks.first()) spdlog::info("answered {} of {}", done, prompts.size());
  });
  Score mine;
  for (std::size_t i = answers.begin; i < answers.end; ++i) {
    const std::string& text = answers.texts[i - answers.begin];
    mine.exact += equal_answers(text, prompts[i].reference) ? 1 : 0;
    // Rank 0 has the first prompts.
    if (i < show && ranks.first())
      fmt::print("\nprompt    {}\nanswer    {}\nexpected  {}\n", tokenizer.decode(prompts[i].tokens, true), text,
                 prompts[i].reference);
  }
  Score score{0, prompts.size()};
  for (const std::vector<double>& rank : ranks.exchange({static_cast<double>(mine.exact)}))
    score.exact += static_cast<std::size_t>(rank[0]);
  return score;
}

// A line of JSON a sample, in the order in which they are evaluated.
void append_losses(const SampleRefs& samples, std::span<const float> losses, std::string& lines) {
  for (const Sample* sample : samples) {
    const auto targets = static_cast<std::size_t>(target_tokens({sample}));
    const double sum = std::accumulate(losses.begin(), losses.begin() + static_cast<std::ptrdiff_t>(targets), 0.0);
    const nlohmann::ordered_json line = {{"file", sample->source},
                                         {"line", sample->line},
                                         {"loss", targets == 0 ? 0.0 : sum / static_cast<double>(targets)},
                                         {"target_tokens", targets}};
    lines += line.dump() + "\n";
    losses = losses.subspan(targets);
  }
}

void eval(Rendezvous& rendezvous, const Recipe& recipe, const Options& o) {
  Ranks ranks(rendezvous, recipe);
  const BaseModel base = BaseModel::open(recipe.base_model);
  const Tokenizer tokenizer = open_tokenizer(base);
  check_window(base.config(), recipe.sequence_len, "sequence_len");
  const TrainingData data = load_training_data(recipe, tokenizer);
  const std::vector<Sample>& held_out = data.held_out.samples;
  if (held_out.empty()) fail("the recipe holds nothing out: give test_datasets, or val_set_size above 0");
  if (o.answers && recipe.test_datasets.empty()) fail("--answers needs test_datasets in the recipe");

  const std::vector<SampleRefs> micro_batches = evaluation_batches(recipe, held_out);
  constexpr std::int64_t kTogether = 16;
  StepLimits limits{.micro_batches = std::min(kTogether, std::ssize(micro_batches))};
  include_evaluation(limits, micro_batches);
  Recipe forward_only = recipe;
  forward_only.gradient_checkpointing = true;  // nothing is kept for a backward pass
  const std::vector<Prompt> prompts = o.answers ? load_test_prompts(recipe, tokenizer) : std::vector<Prompt>();
  const TokenIds ends = o.answers ? ends_of_answers(recipe, tokenizer) : TokenIds();
  Workload workload = training_workload(ranks, forward_only, limits);
  workload.rehearse = [&, losses = workload.rehearse](const LoadedModel& loaded) {
    if (o.answers) rehearse_answers(ranks, loaded, ends, tokens_of(prompts), kAnswerTokens);
    return losses(loaded);
  };
  LoadedModel loaded = load_with_adapter(ranks, forward_only, base, o.adapter, workload);

  nlohmann::ordered_json result;
  {
    std::string lines;
    const StepResult loss =
        make_train_step(ranks, loaded, recipe, limits)
            ->evaluate(micro_batches, [&](const SampleRefs& samples, std::span<const float> losses) {
              append_losses(samples, losses, lines);
            });
    if (ranks.first() && !o.losses.empty()) write_file_atomically(o.losses, lines);
    result = {{"devices", ranks.devices}, {"eval_loss", loss.loss}, {"tokens", loss.target_tokens}};
  }
  if (o.answers) {
    const Score score = score_answers(ranks, loaded, tokenizer, ends, prompts, o.show);
    result["exact"] = score.exact;
    result["answered"] = score.answered;
  }
  if (!ranks.first()) return;
  fmt::print("\neval loss {:.4f} over {} target tokens\n", result["eval_loss"].get<double>(),
             result["tokens"].get<std::int64_t>());
  if (o.answers) {
    const auto exact = result["exact"].get<std::size_t>(), answered = result["answered"].get<std::size_t>();
    fmt::print("exact answers: {} of {} ({:.1f} %)\n", exact, answered,
               100.0 * static_cast<double>(exact) / static_cast<double>(answered));
  }
  if (o.json) fmt::print("{}\n", result.dump());
}

}  // namespace

Verb add_eval(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("eval", "loss on what the recipe holds out, of the base or with an adapter");
  const auto options = RecipeOptions::add_to(*verb);
  const auto o = std::make_shared<Options>();
  verb->add_option("--adapter", o->adapter, "a PEFT adapter; without it the bare base is evaluated")->type_name("DIR");
  verb->add_flag("--answers", o->answers, "also answer every held-out row greedily and count the exact answers");
  verb->add_option("--show", o->show, "with --answers: print the first N rows that rank 0 answered")->type_name("N");
  verb->add_option("--losses", o->losses, "write the loss of every held-out row, a line of JSON each")
      ->type_name("FILE");
  verb->add_flag("--json", o->json, "end with one line of JSON");
  return [options, o](Rendezvous& rendezvous) {
    start_log(rendezvous.rank());
    eval(rendezvous, options->load(), *o);
  };
}

}  // namespace shardlora
