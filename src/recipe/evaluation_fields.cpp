// The keys of a recipe about evaluation during a run and what follows from it.
#include <cmath>

#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

using K = RecipeKinds;

const Choices<EvalStrategy> kStrategies{
    {"no", EvalStrategy::kNo}, {"steps", EvalStrategy::kSteps}, {"epoch", EvalStrategy::kEpoch}};

void read_strategy(RecipeDraft& r, const ConfigValue& v) {
  // YAML reads a bare no as false.
  const bool no = v.node.kind == ConfigNode::Kind::kScalar && v.node.text == "false";
  r.eval_strategy = no ? EvalStrategy::kNo : to_choice(v, kStrategies);
}

void read_steps(RecipeDraft& r, const ConfigValue& v) {
  const double steps = to_number(v, 0, 1e15);
  if (steps >= 1 && steps != std::floor(steps)) expected(v, "a whole number of steps or a fraction below 1");
  r.eval_steps = steps;
}

}  // namespace

std::vector<RecipeField> evaluation_fields() {
  return {
      K::row({"eval_strategy", "evaluation_strategy"}, choice_names(kStrategies),
             "when held-out rows are evaluated, beside the end of the run; no: not even then", read_strategy,
             [](const RecipeDraft& r) { return r.eval_strategy ? choice_name(*r.eval_strategy, kStrategies) : ""; }),
      K::row({"eval_steps"}, "a number of steps, or a fraction below 1",
             "steps between evaluations; below 1: a share of all steps; 0: only at the end", read_steps,
             [](const RecipeDraft& r) { return written(r.eval_steps); }),
      K::whole({"evals_per_epoch"}, &Recipe::evals_per_epoch, 0, kMany, "evaluations in an epoch; 0: only at the end"),
      K::whole({"early_stopping_patience", "early_stopping_steps"}, &Recipe::early_stopping_patience, 1, kMany,
               "evaluations without a better loss that end the run"),
      K::number({"early_stopping_threshold"}, &Recipe::early_stopping_threshold, 0, 1e6,
                "what an evaluation's loss must fall by to count as better"),
      K::flag({"load_best_model_at_end"}, &Recipe::load_best_model_at_end,
              "write the adapter of the lowest evaluation loss, not the last one"),
      K::only({"metric_for_best_model"}, {"eval_loss", "loss"}, "eval_loss, the only metric of this version",
              "what load_best_model_at_end and early stopping go by"),
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
