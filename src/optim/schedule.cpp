#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace shardlora {
namespace {

double fraction(std::int64_t part, std::int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(std::max<std::int64_t>(1, whole));
}

double wave(double cycles, double progress) {
  return 0.5 * (1.0 + std::cos(std::numbers::pi * 2.0 * cycles * progress));
}

double with_floor(double factor, double floor) { return std::max(0.0, factor * (1.0 - floor) + floor); }

double rising(Curve curve, double progress) {
  switch (curve) {
    case Curve::kLinear: return progress;
    case Curve::kCosine: return 0.5 * (1.0 - std::cos(std::numbers::pi * progress));
    case Curve::kOneMinusSqrt: return 1.0 - std::sqrt(1.0 - progress);
  }
  return progress;
}

double falling(Curve curve, double progress, double cycles) {
  switch (curve) {
    case Curve::kLinear: return 1.0 - progress;
    case Curve::kCosine: return wave(cycles, progress);
    case Curve::kOneMinusSqrt: return 1.0 - std::sqrt(progress);
  }
  return 1.0 - progress;
}

double warmup_stable_decay(const LearningRate& rate, std::int64_t step) {
  if (step < rate.warmup) return with_floor(rising(rate.rise, fraction(step, rate.warmup)), rate.min_factor);
  const std::int64_t stable = rate.stable >= 0 ? rate.stable : rate.total - rate.warmup - rate.decay;
  const std::int64_t into_decay = step - rate.warmup - stable;
  if (into_decay < 0) return 1.0;
  if (into_decay >= rate.decay) return rate.min_factor;
  return with_floor(falling(rate.fall, fraction(into_decay, rate.decay), rate.cycles), rate.min_factor);
}

double factor(const LearningRate& rate, std::int64_t step) {
  if (rate.schedule == Schedule::kConstant) return 1.0;
  if (rate.schedule == Schedule::kWarmupStableDecay) return warmup_stable_decay(rate, step);
  if (step < rate.warmup) return fraction(step, rate.warmup);
  const double progress = fraction(step - rate.warmup, rate.total - rate.warmup);
  switch (rate.schedule) {
    case Schedule::kLinear: return std::max(0.0, 1.0 - progress);
    case Schedule::kCosine: return std::max(0.0, wave(rate.cycles, progress));
    case Schedule::kCosineWithMinLr: return with_floor(wave(rate.cycles, progress), rate.min_factor);
    case Schedule::kCosineWithRestarts:
      return progress >= 1.0 ? 0.0 : std::max(0.0, wave(0.5, std::fmod(rate.cycles * progress, 1.0)));
    case Schedule::kPolynomial: {
      const double end = rate.end / rate.peak;
      return progress >= 1.0 ? end : (1.0 - end) * std::pow(1.0 - progress, rate.power) + end;
    }
    case Schedule::kInverseSqrt: {
      const std::int64_t timescale = rate.timescale > 0 ? rate.timescale : rate.warmup > 0 ? rate.warmup : 10'000;
      return 1.0 / std::sqrt(fraction(step - rate.warmup + timescale, timescale));
    }
    default: return 1.0;
  }
}

}  // namespace

double LearningRate::at(std::int64_t step) const { return peak * factor(*this, step); }

}  // namespace shardlora
