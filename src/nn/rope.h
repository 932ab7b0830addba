// Rotary position embedding (Su et al., "RoFormer", 2021): the frequencies of a head's pairs, and the ways in which
// models stretch them to longer texts. As transformers' ROPE_INIT_FUNCTIONS compute them, in f32.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace shardlora {

enum class RopeScaling : std::uint8_t {
  kNone,
  kLinear,    // every frequency / factor
  kLlama3,    // long waves / factor, short ones as they are, a blend between
  kYarn,      // Peng et al., "YaRN", 2023: a ramp over pairs, and larger attention scores
  kDivisors,  // one divisor a pair, as GGUF stores llama3's scaling
};

struct Rope {
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  double original_positions = 0;                     // llama3, yarn: the length before stretching
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn: turns over original_positions where the ramp begins, ends
  bool truncate = true;                              // yarn: the ramp's ends are whole pairs
  std::optional<double> attention_factor = {};       // yarn: of sines and cosines; otherwise from what follows
  double mscale = 0, mscale_all_dim = 0;             // yarn: 0 where the model has none
  std::vector<float> divisors = {};                  // head_dim / 2
};

// inv_freq[k] = theta^(-2k / head_dim), scaled; k < head_dim / 2.
std::vector<float> rope_frequencies(const Rope& rope, std::int64_t head_dim);

// What sines and cosines are multiplied with: scores of attention grow by its square.
double rope_attention_factor(const Rope& rope);

}  // namespace shardlora
