// What a run concludes from evaluating while it trains: when it is time, whether to stop early, which adapter was best.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "recipe/recipe.h"

namespace shardlora {

// Steps between evaluations, for runs of `total` steps with `per_epoch` steps in an epoch; 0: only at epochs' ends or
// the run's. Fractions are of all steps and round up, as transformers does.
std::int64_t evaluation_interval(const Recipe& recipe, std::int64_t total, std::int64_t per_epoch);

// Follows the eval losses of a run, as transformers' EarlyStoppingCallback does: an evaluation counts against the
// patience unless its loss is lower than the lowest so far by more than the threshold.
class EarlyStopping {
 public:
  // No patience: never stops.
  EarlyStopping(std::optional<std::int64_t> patience, double threshold) : patience_(patience), threshold_(threshold) {}
  // True: the lowest loss so far.
  bool add(std::int64_t step, double loss);
  bool stop() const { return patience_ && without_progress_ >= *patience_; }
  std::int64_t best_step() const { return best_step_; }
  double best_loss() const { return best_loss_; }

 private:
  std::optional<std::int64_t> patience_;
  double threshold_;
  std::int64_t without_progress_ = 0, best_step_ = 0;
  double best_loss_ = std::numeric_limits<double>::infinity();
};

}  // namespace shardlora
