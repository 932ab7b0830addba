// Rotary position embedding (Su et al., "RoFormer", 2021): the frequencies of a head's pairs.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace shardlora {

// inv_freq[k] = theta^(-2k / head_dim), k < head_dim / 2; in f32 as transformers computes it.
inline std::vector<float> rope_frequencies(double theta, std::int64_t head_dim) {
  std::vector<float> frequencies;
  for (std::int64_t k = 0; k < head_dim / 2; ++k) {
    const float exponent = static_cast<float>(2 * k) / static_cast<float>(head_dim);
    frequencies.push_back(1.0F / std::pow(static_cast<float>(theta), exponent));
  }
  return frequencies;
}

}  // namespace shardlora
