// The keys of a recipe about evaluation during a run and what follows from it.
#include <limits>

#include "train/recipe_fields.h"

namespace shardlora {
namespace {

using Field = ConfigField<RecipeDraft>;

constexpr std::int64_t kMany = std::numeric_limits<std::int64_t>::max();

const Choices<EvalStrategy> kStrategies{
    {"no", EvalStrategy::kNo}, {"steps", EvalStrategy::kSteps}, {"epoch", EvalStrategy::kEpoch}};

}  // namespace

std::vector<ConfigField<RecipeDraft>> evaluation_fields() {
  return {
      {"eval_strategy",
       {"evaluation_strategy"},
       [](RecipeDraft& r, const ConfigValue& v) {
         // YAML reads a bare no as false.
         r.eval_strategy = v.node.kind == ConfigNode::Kind::kScalar && v.node.text == "false"
                               ? EvalStrategy::kNo
                               : to_choice(v, kStrategies);
       },
       [](const RecipeDraft& r) { return r.eval_strategy ? choice_name(*r.eval_strategy, kStrategies) : ""; }},
      {"eval_steps",
       {},
       [](RecipeDraft& r, const ConfigValue& v) {
         const double steps = to_number(v, 0, 1e15);
         if (steps >= 1 && steps != static_cast<double>(static_cast<std::int64_t>(steps)))
           expected(v, "a whole number of steps or a fraction below 1");
         r.eval_steps = steps;
       },
       [](const RecipeDraft& r) { return r.eval_steps ? fmt::format("{}", *r.eval_steps) : std::string(); }},
      {"evals_per_epoch",
       {},
       [](RecipeDraft& r, const ConfigValue& v) { r.evals_per_epoch = to_integer(v, 0, kMany); },
       [](const RecipeDraft& r) { return r.evals_per_epoch ? std::to_string(*r.evals_per_epoch) : std::string(); }},
      {"early_stopping_patience",
       {"early_stopping_steps"},
       [](RecipeDraft& r, const ConfigValue& v) { r.early_stopping_patience = to_integer(v, 1, kMany); },
       [](const RecipeDraft& r) {
         return r.early_stopping_patience ? std::to_string(*r.early_stopping_patience) : std::string();
       }},
      {"early_stopping_threshold",
       {},
       [](RecipeDraft& r, const ConfigValue& v) { r.early_stopping_threshold = to_number(v, 0, 1e6); },
       [](const RecipeDraft& r) { return fmt::format("{}", r.early_stopping_threshold); }},
      {"load_best_model_at_end",
       {},
       [](RecipeDraft& r, const ConfigValue& v) { r.load_best_model_at_end = to_bool(v); },
       [](const RecipeDraft& r) { return std::string(r.load_best_model_at_end ? "true" : "false"); }},
      {"metric_for_best_model",
       {},
       [](RecipeDraft&, const ConfigValue& v) {
         if (const std::string word = to_text(v); word != "eval_loss" && word != "loss")
           expected(v, "eval_loss, the only metric of this version");
       },
       nullptr},
  };
}

void check_evaluation(const RecipeDraft& draft, const GivenKeys& keys, ConfigProblems& problems) {
  if (keys.unreadable(
          {"eval_strategy", "eval_steps", "evals_per_epoch", "val_set_size", "test_datasets", "eval_dataset"}))
    return;
  const ConfigValue* strategy = keys.find("eval_strategy");
  for (const char* name : {"eval_steps", "evals_per_epoch"}) {
    const ConfigValue* given = keys.find(name);
    if (given == nullptr || strategy == nullptr || draft.eval_strategy == EvalStrategy::kSteps) continue;
    if (to_number(*given, 0, 1e18) > 0)
      problems.add("{}: {}: needs eval_strategy: steps, but {} says {}; remove one of them", given->node.place,
                   given->name, strategy->node.place, choice_name(*draft.eval_strategy, kStrategies));
  }
  if (draft.eval_strategy == EvalStrategy::kSteps && draft.eval_steps.value_or(0) == 0 &&
      draft.evals_per_epoch.value_or(0) == 0)
    problems.add("{}: {}: steps needs to know how often; add eval_steps: 50, or evals_per_epoch: 4",
                 strategy->node.place, strategy->name);

  const ConfigValue* best = draft.load_best_model_at_end ? keys.find("load_best_model_at_end") : nullptr;
  const ConfigValue* needs = draft.early_stopping_patience ? keys.find("early_stopping_patience") : best;
  if (needs == nullptr) return;
  if (draft.val_set_size == 0 && draft.test_datasets.empty())
    return problems.add("{}: {}: nothing is held out to measure by; give test_datasets, or val_set_size above 0",
                        needs->node.place, needs->name);
  const bool during = draft.eval_strategy == EvalStrategy::kEpoch || draft.eval_steps.value_or(0) > 0 ||
                      draft.evals_per_epoch.value_or(0) > 0;
  if (!during)
    problems.add("{}: {}: needs evaluations during the run; add eval_steps, evals_per_epoch or eval_strategy: epoch",
                 needs->node.place, needs->name);
}

}  // namespace shardlora
