#include "run/run_size.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace shardlora {
namespace {

constexpr std::int64_t kFewSteps = 10, kEnoughSteps = 20, kFewHeldOut = 10;
constexpr std::int64_t kShortRun = 30;  // a step at a rate of 0 is a thirtieth of it or more

std::string plural(std::int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// The settings that make more steps of the same rows, with what they give.
std::string more_steps(const Recipe& recipe, const RunSize& size) {
  if (recipe.max_steps) return fmt::format("max_steps: {} or more", kEnoughSteps);
  const std::int64_t batch = size.global_batch_size;
  const std::int64_t rows = std::min(size.samples, size.steps_of_epoch * batch);  // packed ones are fewer
  const auto steps_with = [&](std::int64_t wanted) {
    const std::int64_t of_epoch = (rows + wanted - 1) / wanted;
    return static_cast<std::int64_t>(std::ceil(static_cast<double>(of_epoch) * recipe.num_epochs));
  };
  std::string smaller;
  const std::int64_t at_once = recipe.micro_batch_size * size.ranks;
  const std::int64_t least = recipe.global_batch_size ? 1 : at_once;
  std::int64_t wanted = batch;
  while (wanted > least && steps_with(wanted) < kEnoughSteps) wanted = std::max(least, (wanted + 1) / 2);
  if (wanted < batch) {
    smaller = recipe.global_batch_size
                  ? fmt::format("global_batch_size: {} makes {}", wanted, plural(steps_with(wanted), "step"))
                  : fmt::format("gradient_accumulation_steps: {} makes {}", (wanted + at_once - 1) / at_once,
                                plural(steps_with((wanted + at_once - 1) / at_once * at_once), "step"));
  }
  const std::int64_t epochs = (kEnoughSteps + size.steps_of_epoch - 1) / size.steps_of_epoch;
  const std::string longer = fmt::format("num_epochs: {} makes {}", epochs, epochs * size.steps_of_epoch);
  return smaller.empty() ? longer : smaller + ", " + longer;
}

std::string of_steps(const Recipe& recipe, const RunSize& size) {
  if (size.steps >= kFewSteps) return "";
  return fmt::format("only {}{}: the adapter will hardly change. {}", plural(size.steps, "step"),
                     recipe.max_steps ? " (max_steps)"
                                      : fmt::format(" ({} in steps of {}, {:g} times)", plural(size.samples, "sample"),
                                                    size.global_batch_size, recipe.num_epochs),
                     more_steps(recipe, size));
}

std::string of_warm_up(const Recipe& recipe, const RunSize& size) {
  const std::int64_t warm_up = recipe.warmup(size.steps);
  const LearningRate rates = recipe.learning_rates(size.steps);
  if (warm_up == 0 || size.steps == 0) return "";
  double highest = 0;
  for (std::int64_t s = 0; s < std::min(size.steps, warm_up); ++s) highest = std::max(highest, rates.at(s));
  if (warm_up >= size.steps)
    return fmt::format(
        "the warm-up ({}) is the whole run of {}: the learning rate ends at {:g}, {:g} is never reached. "
        "warmup_steps: {} leaves time to learn",
        plural(warm_up, "step"), plural(size.steps, "step"), highest, recipe.learning_rate, size.steps / 10);
  if (rates.at(0) == 0 && size.steps < kShortRun)
    return fmt::format(
        "the warm-up ({}) begins at a learning rate of 0, so the first of {} teaches nothing; warmup_steps: 0 uses all",
        plural(warm_up, "step"), plural(size.steps, "step"));
  return "";
}

std::string of_held_out(const Recipe& recipe, const RunSize& size) {
  if (size.held_out == 0 || size.held_out >= kFewHeldOut || recipe.eval_strategy == EvalStrategy::kNo) return "";
  const std::string few = fmt::format("{} held out: the eval loss says little", plural(size.held_out, "sample"));
  if (!recipe.test_datasets.empty()) return few + "; name more rows in test_datasets";
  const auto all = static_cast<double>(size.samples + size.held_out);
  for (const double share : {0.05, 0.1, 0.2})
    if (const auto kept = std::llround(share * all); kept >= kFewHeldOut || (share == 0.2 && kept > size.held_out))
      return fmt::format("{}; val_set_size: {} keeps {} aside, or name a file of its own in test_datasets", few, share,
                         kept);
  return few + "; name a file of more rows in test_datasets";
}

}  // namespace

std::vector<std::string> size_warnings(const Recipe& recipe, const RunSize& size) {
  std::vector<std::string> warnings;
  for (std::string warning : {of_steps(recipe, size), of_warm_up(recipe, size), of_held_out(recipe, size)})
    if (!warning.empty()) warnings.push_back(std::move(warning));
  return warnings;
}

}  // namespace shardlora
