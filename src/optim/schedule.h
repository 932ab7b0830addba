// Learning-rate schedules as functions of the step, with transformers' definitions and names (optimization.py,
// get_scheduler); cosine with a floor is also axolotl's cosine_min_lr_ratio.
#pragma once

#include <cstdint>

namespace shardlora {

enum class Schedule : std::uint8_t {
  kConstant,
  kConstantWithWarmup,
  kLinear,
  kCosine,
  kCosineWithRestarts,
  kCosineWithMinLr,
  kPolynomial,
  kInverseSqrt,
  kWarmupStableDecay
};

// How warmup_stable_decay rises and falls.
enum class Curve : std::uint8_t { kLinear, kCosine, kOneMinusSqrt };

// A schedule with what its shape depends on. A shape reads only the fields that are named after it.
struct LearningRate {
  Schedule schedule = Schedule::kCosine;
  double peak = 2e-4;
  std::int64_t warmup = 0, total = 1;  // steps
  double cycles = 0.5;         // cosines: waves (0.5: down once); cosine_with_restarts: how often it starts anew
  double min_factor = 0;       // cosine_with_min_lr, warmup_stable_decay: the least rate / peak
  double end = 1e-7;           // polynomial: the last rate
  double power = 1;            // polynomial
  std::int64_t timescale = 0;  // inverse_sqrt; 0: warmup, or 10,000 where that is 0 too
  std::int64_t decay = 0;      // warmup_stable_decay: steps of the fall
  std::int64_t stable = -1;    // warmup_stable_decay: steps at the peak; -1: what the others leave
  Curve rise = Curve::kLinear, fall = Curve::kCosine;

  // The rate of optimiser step `step`; 0 is the first.
  double at(std::int64_t step) const;
};

}  // namespace shardlora
