#include "nn/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace shardlora {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

void scale_llama3(const Rope& rope, std::vector<float>& frequencies) {
  const double length = rope.original_positions;
  for (float& f : frequencies) {
    const double wave = kTurn / f;
    if (wave < length / rope.high_freq_factor) continue;
    if (wave > length / rope.low_freq_factor) {
      f = static_cast<float>(f / rope.factor);
      continue;
    }
    const double smooth = (length / wave - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
    f = static_cast<float>((1 - smooth) * f / rope.factor + smooth * f);
  }
}

// The pair (not whole) that makes `turns` turns over the original length.
double pair_of(const Rope& rope, double head_dim, double turns) {
  return head_dim * std::log(rope.original_positions / (turns * kTurn)) / (2 * std::log(rope.theta));
}

void scale_yarn(const Rope& rope, std::int64_t head_dim, std::vector<float>& frequencies) {
  const auto width = static_cast<double>(head_dim);
  double low = pair_of(rope, width, rope.beta_fast), high = pair_of(rope, width, rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, width - 1);
  if (low == high) high += 0.001;  // the reference's way around a division by 0
  // In f32 and in the reference's order: near the ramp's ends 1 - ramp keeps few digits, and both have to keep the
  // same.
  const auto begin = static_cast<float>(low), length = static_cast<float>(high - low),
             factor = static_cast<float>(rope.factor);
  for (std::size_t k = 0; k < frequencies.size(); ++k) {
    const float keep = 1 - std::clamp((static_cast<float>(k) - begin) / length, 0.0F, 1.0F), f = frequencies[k];
    frequencies[k] = f / factor * (1 - keep) + f * keep;
  }
}

}  // namespace

std::vector<float> rope_frequencies(const Rope& rope, std::int64_t head_dim) {
  std::vector<float> frequencies;
  for (std::int64_t k = 0; k < head_dim / 2; ++k) {
    const float exponent = static_cast<float>(2 * k) / static_cast<float>(head_dim);
    frequencies.push_back(1.0F / std::pow(static_cast<float>(rope.theta), exponent));
  }
  switch (rope.scaling) {
    case RopeScaling::kNone: break;
    case RopeScaling::kLinear:
      for (float& f : frequencies) f /= static_cast<float>(rope.factor);
      break;
    case RopeScaling::kLlama3: scale_llama3(rope, frequencies); break;
    case RopeScaling::kYarn: scale_yarn(rope, head_dim, frequencies); break;
    case RopeScaling::kDivisors:
      CHECK(rope.divisors.size() == frequencies.size(), "{} divisors for {} pairs", rope.divisors.size(),
            frequencies.size());
      for (std::size_t k = 0; k < frequencies.size(); ++k) frequencies[k] /= rope.divisors[k];
      break;
  }
  return frequencies;
}

double rope_attention_factor(const Rope& rope) {
  if (rope.scaling != RopeScaling::kYarn) return 1;
  if (rope.attention_factor) return *rope.attention_factor;
  const auto grown = [&](double scale) { return rope.factor <= 1 ? 1.0 : 0.1 * scale * std::log(rope.factor) + 1; };
  if (rope.mscale != 0 && rope.mscale_all_dim != 0) return grown(rope.mscale) / grown(rope.mscale_all_dim);
  return grown(1);
}

}  // namespace shardlora
