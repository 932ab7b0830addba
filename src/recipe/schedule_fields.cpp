// The keys of a recipe about the course of the learning rate.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

using K = RecipeKinds;
using Names = std::vector<std::string>;

const Choices<Schedule> kSchedules{{"cosine", Schedule::kCosine},
                                   {"linear", Schedule::kLinear},
                                   {"constant", Schedule::kConstant},
                                   {"constant_with_warmup", Schedule::kConstantWithWarmup},
                                   {"cosine_with_restarts", Schedule::kCosineWithRestarts},
                                   {"cosine_with_min_lr", Schedule::kCosineWithMinLr},
                                   {"polynomial", Schedule::kPolynomial},
                                   {"inverse_sqrt", Schedule::kInverseSqrt},
                                   {"warmup_stable_decay", Schedule::kWarmupStableDecay}};
const Choices<Curve> kCurves{{"linear", Curve::kLinear}, {"cosine", Curve::kCosine}, {"1-sqrt", Curve::kOneMinusSqrt}};

// The keys below lr_scheduler_kwargs that a schedule knows.
Names kwargs_of(Schedule schedule) {
  switch (schedule) {
    case Schedule::kCosine:
    case Schedule::kCosineWithRestarts: return {"num_cycles"};
    case Schedule::kCosineWithMinLr: return {"num_cycles", "min_lr", "min_lr_rate"};
    case Schedule::kPolynomial: return {"lr_end", "power"};
    case Schedule::kInverseSqrt: return {"timescale"};
    case Schedule::kWarmupStableDecay:
      return {"num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio", "num_cycles"};
    default: return {};
  }
}

const std::string kGroup = "lr_scheduler_kwargs.";

// A member of lr_scheduler_kwargs.
template <typename T>
auto kwarg(T ScheduleKwargs::* member) {
  return [member](auto& r) -> auto& { return r.lr_scheduler_kwargs.*member; };
}

void read_warmup_steps(RecipeDraft& r, const ConfigValue& v) {
  // Below 1 it is a share of the run, as in transformers 5.
  if (const double steps = to_number(v, 0, 1e15); steps > 0 && steps < 1)
    r.warmup_ratio = steps;
  else if (steps != std::floor(steps))
    expected(v, "a whole number of steps, or a share of the run below 1");
  else
    r.warmup_steps = static_cast<std::int64_t>(steps);
}

}  // namespace

std::vector<RecipeField> schedule_fields() {
  using S = ScheduleKwargs;
  return {
      K::choice<Schedule>({"lr_scheduler", "lr_scheduler_type"}, &Recipe::lr_scheduler, kSchedules,
                          "the course of the learning rate after the warm-up"),
      K::number({kGroup + "num_cycles"}, kwarg(&S::num_cycles), 0, 1e6,
                "waves of a cosine, starts of cosine_with_restarts; not given: 0.5 (once down), 1"),
      K::number({kGroup + "min_lr"}, kwarg(&S::min_lr), 0, 1e3, "the floor of cosine_with_min_lr"),
      K::number({kGroup + "min_lr_rate"}, kwarg(&S::min_lr_rate), 0, 1,
                "the floor of cosine_with_min_lr, as a share of the peak"),
      K::number({kGroup + "min_lr_ratio"}, kwarg(&S::min_lr_ratio), 0, 1,
                "the floor of warmup_stable_decay, as a share of the peak; not given: 0"),
      K::number({kGroup + "lr_end"}, kwarg(&S::lr_end), 0, 1e3, "where polynomial ends; not given: 1e-7"),
      K::number({kGroup + "power"}, kwarg(&S::power), 0, 1e3, "the power of polynomial; not given: 1"),
      K::whole({kGroup + "timescale"}, kwarg(&S::timescale), 0, kMany,
               "steps of inverse_sqrt; not given, or 0: those of the warm-up, else 10000"),
      K::whole({kGroup + "num_decay_steps"}, kwarg(&S::num_decay_steps), 0, kMany,
               "steps of warmup_stable_decay's fall (needed with it)"),
      K::whole({kGroup + "num_stable_steps"}, kwarg(&S::num_stable_steps), 0, kMany,
               "steps of warmup_stable_decay at the peak; not given: all that are left"),
      K::choice<Curve>({kGroup + "warmup_type"}, kwarg(&S::warmup_type), kCurves,
                       "the shape of warmup_stable_decay's rise; not given: linear"),
      K::choice<Curve>({kGroup + "decay_type"}, kwarg(&S::decay_type), kCurves,
                       "the shape of warmup_stable_decay's fall; not given: cosine"),
      K::number({"cosine_min_lr_ratio"}, &Recipe::cosine_min_lr_ratio, 0, 1,
                "the floor of lr_scheduler: cosine, as a share of the peak"),
      K::row({"warmup_steps"}, "a number of steps, or a share below 1",
             "steps in which the learning rate rises to its peak", read_warmup_steps,
             [](const RecipeDraft& r) { return written(r.warmup_steps); }),
      K::number({"warmup_ratio"}, &Recipe::warmup_ratio, 0, 1,
                "share of all steps in which the learning rate rises to its peak"),
  };
}

void check_schedule(const RecipeDraft& draft, const GivenKeys& keys, ConfigProblems& problems) {
  if (keys.unreadable({"lr_scheduler", "learning_rate"})) return;
  const std::string name = choice_name(draft.lr_scheduler, kSchedules);
  const Names known = kwargs_of(draft.lr_scheduler);
  for (const auto& field : schedule_fields()) {
    const ConfigValue* value = field.name.starts_with(kGroup) ? keys.find(field.name) : nullptr;
    if (value == nullptr) continue;
    const std::string kwarg = field.name.substr(kGroup.size());
    if (std::find(known.begin(), known.end(), kwarg) == known.end())
      problems.add("{}: {}: lr_scheduler: {} knows no {}; {}", value->node.place, value->name, name, kwarg,
                   known.empty() ? "it takes none" : fmt::format("it takes {}", fmt::join(known, ", ")));
  }
  const ScheduleKwargs& kwargs = draft.lr_scheduler_kwargs;
  const ConfigValue* scheduler = keys.find("lr_scheduler");
  if (draft.lr_scheduler == Schedule::kCosineWithMinLr && kwargs.min_lr.has_value() == kwargs.min_lr_rate.has_value())
    problems.add(
        "{}: lr_scheduler: cosine_with_min_lr needs lr_scheduler_kwargs: {{min_lr: 1e-5}} or {{min_lr_rate: 0.1}}, "
        "one of them",
        scheduler->node.place);
  if (draft.lr_scheduler == Schedule::kWarmupStableDecay && !kwargs.num_decay_steps)
    problems.add(
        "{}: lr_scheduler: warmup_stable_decay needs lr_scheduler_kwargs: {{num_decay_steps: 100}}, the steps of its "
        "fall",
        scheduler->node.place);
  if (draft.lr_scheduler == Schedule::kPolynomial && !(kwargs.lr_end.value_or(1e-7) < draft.learning_rate))
    problems.add(
        "{}: lr_scheduler: polynomial falls from learning_rate ({}) to lr_scheduler_kwargs.lr_end ({}), which has to "
        "be smaller",
        scheduler->node.place, draft.learning_rate, kwargs.lr_end.value_or(1e-7));
  if (kwargs.min_lr && *kwargs.min_lr > draft.learning_rate)
    expected(*keys.find(kGroup + "min_lr"), fmt::format("at most learning_rate ({})", draft.learning_rate));
  if (draft.cosine_min_lr_ratio.value_or(0) > 0 && draft.lr_scheduler != Schedule::kCosine)
    problems.add("{}: cosine_min_lr_ratio: goes with lr_scheduler: cosine, not with {}; remove it",
                 keys.find("cosine_min_lr_ratio")->node.place, name);
  // transformers' "constant" leaves warm-up out without a word.
  if (draft.lr_scheduler == Schedule::kConstant)
    for (const char* warmup : {"warmup_steps", "warmup_ratio"})
      if (const ConfigValue* value = keys.find(warmup); value != nullptr && to_number(*value, 0, 1e18) > 0)
        problems.add("{}: {}: lr_scheduler: constant has no warm-up; write constant_with_warmup, or remove this key",
                     value->node.place, value->name);
}

std::int64_t Recipe::warmup(std::int64_t total_steps) const {
  if (warmup_steps) return *warmup_steps;
  if (warmup_ratio) return static_cast<std::int64_t>(std::ceil(*warmup_ratio * static_cast<double>(total_steps)));
  return 0;
}

LearningRate Recipe::learning_rates(std::int64_t total_steps) const {
  const ScheduleKwargs& k = lr_scheduler_kwargs;
  LearningRate rate{
      .schedule = lr_scheduler, .peak = learning_rate, .warmup = warmup(total_steps), .total = total_steps};
  rate.cycles = k.num_cycles.value_or(lr_scheduler == Schedule::kCosineWithRestarts ? 1 : 0.5);
  rate.min_factor = k.min_lr ? *k.min_lr / learning_rate : k.min_lr_rate.value_or(k.min_lr_ratio.value_or(0));
  rate.end = k.lr_end.value_or(rate.end);
  rate.power = k.power.value_or(rate.power);
  rate.timescale = k.timescale.value_or(0);
  rate.decay = k.num_decay_steps.value_or(0);
  rate.stable = k.num_stable_steps.value_or(-1);
  rate.rise = k.warmup_type.value_or(rate.rise);
  rate.fall = k.decay_type.value_or(rate.fall);
  if (cosine_min_lr_ratio.value_or(0) > 0) {
    rate.schedule = Schedule::kCosineWithMinLr;
    rate.min_factor = *cosine_min_lr_ratio;
  }
  return rate;
}

}  // namespace shardlora
