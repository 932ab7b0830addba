#include "run/evaluation.h"

#include <cmath>

namespace shardlora {

std::int64_t evaluation_interval(const Recipe& recipe, std::int64_t total, std::int64_t per_epoch) {
  if (recipe.eval_strategy == EvalStrategy::kNo || recipe.eval_strategy == EvalStrategy::kEpoch) return 0;
  if (const std::int64_t times = recipe.evals_per_epoch.value_or(0); times > 0) return (per_epoch + times - 1) / times;
  const double steps = recipe.eval_steps.value_or(0);
  return static_cast<std::int64_t>(std::ceil(steps < 1 ? steps * static_cast<double>(total) : steps));
}

bool EarlyStopping::add(std::int64_t step, double loss) {
  if (!std::isfinite(loss)) {  // never the best, and no number is better than it
    ++without_progress_;
    return false;
  }
  const bool enough = best_step_ == 0 || best_loss_ - loss > threshold_;
  without_progress_ = enough ? 0 : without_progress_ + 1;
  if (best_step_ > 0 && !(loss < best_loss_)) return false;
  best_step_ = step;
  best_loss_ = loss;
  return true;
}

}  // namespace shardlora
