// The keys of a recipe about the course of the learning rate.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "train/recipe_fields.h"

namespace shardlora {
namespace {

using Field = ConfigField<RecipeDraft>;
using Names = std::vector<std::string>;

constexpr std::int64_t kMany = std::numeric_limits<std::int64_t>::max();

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

Field kwarg(const std::string& name, std::optional<double> ScheduleKwargs::* member, double max) {
  return {kGroup + name,
          {},
          [=](RecipeDraft& r, const ConfigValue& v) { r.lr_scheduler_kwargs.*member = to_number(v, 0, max); },
          [=](const RecipeDraft& r) {
            const auto& value = r.lr_scheduler_kwargs.*member;
            return value ? fmt::format("{}", *value) : std::string();
          }};
}

Field kwarg(const std::string& name, std::optional<std::int64_t> ScheduleKwargs::* member) {
  return {kGroup + name,
          {},
          [=](RecipeDraft& r, const ConfigValue& v) { r.lr_scheduler_kwargs.*member = to_integer(v, 0, kMany); },
          [=](const RecipeDraft& r) {
            const auto& value = r.lr_scheduler_kwargs.*member;
            return value ? std::to_string(*value) : std::string();
          }};
}

Field kwarg(const std::string& name, std::optional<Curve> ScheduleKwargs::* member) {
  return {kGroup + name,
          {},
          [=](RecipeDraft& r, const ConfigValue& v) { r.lr_scheduler_kwargs.*member = to_choice(v, kCurves); },
          [=](const RecipeDraft& r) {
            const auto& value = r.lr_scheduler_kwargs.*member;
            return value ? choice_name(*value, kCurves) : std::string();
          }};
}

}  // namespace

std::vector<ConfigField<RecipeDraft>> schedule_fields() {
  return {
      {"lr_scheduler",
       {"lr_scheduler_type"},
       [](RecipeDraft& r, const ConfigValue& v) { r.lr_scheduler = to_choice(v, kSchedules); },
       [](const RecipeDraft& r) { return choice_name(r.lr_scheduler, kSchedules); }},
      kwarg("num_cycles", &ScheduleKwargs::num_cycles, 1e6),
      kwarg("min_lr", &ScheduleKwargs::min_lr, 1e3),
      kwarg("min_lr_rate", &ScheduleKwargs::min_lr_rate, 1),
      kwarg("min_lr_ratio", &ScheduleKwargs::min_lr_ratio, 1),
      kwarg("lr_end", &ScheduleKwargs::lr_end, 1e3),
      kwarg("power", &ScheduleKwargs::power, 1e3),
      kwarg("timescale", &ScheduleKwargs::timescale),
      kwarg("num_decay_steps", &ScheduleKwargs::num_decay_steps),
      kwarg("num_stable_steps", &ScheduleKwargs::num_stable_steps),
      kwarg("warmup_type", &ScheduleKwargs::warmup_type),
      kwarg("decay_type", &ScheduleKwargs::decay_type),
      {"cosine_min_lr_ratio",
       {},
       [](RecipeDraft& r, const ConfigValue& v) { r.cosine_min_lr_ratio = to_number(v, 0, 1); },
       [](const RecipeDraft& r) {
         return r.cosine_min_lr_ratio ? fmt::format("{}", *r.cosine_min_lr_ratio) : std::string();
       }},
      {"warmup_steps",
       {},
       [](RecipeDraft& r, const ConfigValue& v) {
         // Below 1 it is a share of the run, as in transformers 5.
         if (const double steps = to_number(v, 0, 1e15); steps > 0 && steps < 1)
           r.warmup_ratio = steps;
         else if (steps != std::floor(steps))
           expected(v, "a whole number of steps, or a share of the run below 1");
         else
           r.warmup_steps = static_cast<std::int64_t>(steps);
       },
       [](const RecipeDraft& r) { return r.warmup_steps ? std::to_string(*r.warmup_steps) : std::string(); }},
      {"warmup_ratio",
       {},
       [](RecipeDraft& r, const ConfigValue& v) { r.warmup_ratio = to_number(v, 0, 1); },
       [](const RecipeDraft& r) { return r.warmup_ratio ? fmt::format("{}", *r.warmup_ratio) : std::string(); }},
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
