#include "run/loss_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace shardlora {
namespace {

// Steps of a window: at most, those whose scatter can be told at all, and told well.
constexpr std::size_t kLongest = 10, kShortest = 3, kTrusted = 6;

}  // namespace

LossWatch::LossWatch(std::int64_t steps, std::int64_t vocabulary)
    : vocabulary_(vocabulary), window_(std::clamp<std::size_t>(static_cast<std::size_t>(steps) / 4, 1, kLongest)) {}

LossWatch::Losses LossWatch::of(std::size_t first, std::size_t count) const {
  double weight = 0, sum = 0, squares = 0;
  for (std::size_t i = first; i < first + count; ++i) {
    weight += steps_[i].weight;
    sum += steps_[i].weight * steps_[i].loss;
  }
  const double mean = sum / weight;
  for (std::size_t i = first; i < first + count; ++i) squares += std::pow(steps_[i].loss - mean, 2);
  const auto n = static_cast<double>(count);
  return {mean, count < 2 ? 0 : std::sqrt(squares / (n - 1) / n)};
}

// The first step alone is where a run began, for its update comes after its loss; but one step says little where losses
// scatter. The first window says more, unless the run went wrong within it.
bool LossWatch::rose(double& from, double& to) const {
  if (steps_.size() < 2 * window_) return false;
  const Losses first = of(0, 1), begin = of(0, window_), end = of(steps_.size() - window_, window_);
  from = first.mean;
  to = end.mean;
  if (window_ < kShortest) return to > 2 * std::max(from, 1.0) + 1;  // too few steps to tell what they scatter by
  const bool is_lost = to > 0.6 * std::log(static_cast<double>(vocabulary_)) && to > 1.5 * from + 0.1;
  const double scatter = end.error * std::sqrt(static_cast<double>(window_));
  const double least = window_ < kTrusted ? 0.4 : 0.2;
  const auto above = [&](double mean, double allowed) { return to - mean > std::max(least * mean + 0.05, allowed); };
  if (is_lost || above(first.mean, 5 * std::hypot(scatter, end.error))) return true;
  from = begin.mean;
  return above(begin.mean, 4 * std::hypot(begin.error, end.error));
}

bool LossWatch::is_guessing(std::size_t window, double& loss) const {
  if (steps_.empty() || steps_.size() < window) return false;
  loss = of(steps_.size() - window, window).mean;
  return loss > 0.95 * std::log(static_cast<double>(vocabulary_));
}

bool LossWatch::evaluation_rose() const {
  return last_evaluation_.step > first_evaluation_.step &&
         last_evaluation_.loss - first_evaluation_.loss > 0.05 * first_evaluation_.loss + 0.02;
}

std::string LossWatch::add(double loss, std::int64_t target_tokens) {
  if (!std::isfinite(loss)) return "";
  steps_.push_back({loss, static_cast<double>(std::max<std::int64_t>(target_tokens, 1))});
  double guessed = 0;
  if (!told_guessing_ && is_guessing(std::max(window_, kShortest), guessed)) {
    told_guessing_ = told_rise_ = true;
    const bool always = of(0, std::min(window_, kShortest)).mean > 0.95 * std::log(static_cast<double>(vocabulary_));
    return fmt::format(
        "the loss is {:.4f}; guessing among {} tokens gives {:.4f}, so the model knows nothing of these rows{}",
        guessed, vocabulary_, std::log(static_cast<double>(vocabulary_)),
        always ? " since the first step: is base_model whole, and is its tokenizer its own?"
               : " any more: lower learning_rate");
  }
  double from = 0, to = 0;
  if (told_rise_ || !rose(from, to)) return "";
  told_rise_ = true;
  return fmt::format(
      "the loss rose to {:.4f} from the {:.4f} of the first steps: training makes the model worse; lower learning_rate",
      to, from);
}

std::string LossWatch::add_evaluation(std::int64_t step, double loss) {
  if (!std::isfinite(loss)) return "";
  last_evaluation_ = {step, loss};
  if (first_evaluation_.step == 0) first_evaluation_ = last_evaluation_;
  if (told_evaluation_ || !evaluation_rose()) return "";
  told_evaluation_ = true;
  return fmt::format(
      "the eval loss rose to {:.4f} from the {:.4f} of step {}: the model learns its rows by heart, or learning_rate "
      "is "
      "too high; train less (num_epochs), or keep the best with load_best_model_at_end: true",
      last_evaluation_.loss, first_evaluation_.loss, first_evaluation_.step);
}

std::string LossWatch::verdict() const {
  double guessed = 0, from = 0, to = 0;
  const bool guesses = is_guessing(std::min(window_, steps_.size()), guessed);
  const double guess = std::log(static_cast<double>(vocabulary_));
  if (rose(from, to))
    return fmt::format(
        "the loss ended at {:.4f}, above the {:.4f} where it began{}: it is worse than the base model; lower "
        "learning_rate and train again",
        to, from, guesses ? fmt::format(", and no better than guessing ({:.4f})", guess) : "");
  if (guesses)
    return fmt::format("the loss ended at {:.4f}, no better than guessing among {} tokens ({:.4f}): do not use it",
                       guessed, vocabulary_, guess);
  if (evaluation_rose())
    return fmt::format(
        "the eval loss ended at {:.4f}, above the {:.4f} of step {}: train less, or a lower learning_rate",
        last_evaluation_.loss, first_evaluation_.loss, first_evaluation_.step);
  return "";
}

}  // namespace shardlora
