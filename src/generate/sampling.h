// How the next token is chosen from a model's logits.
#pragma once

#include <cstdint>
#include <span>

namespace shardlora {

struct Sampling {
  double temperature = 0;  // 0: greedy, the first of the most likely tokens
  double top_p = 1;        // only the most likely tokens whose probabilities reach this sum (Holtzman et al. 2020)
  std::uint64_t seed = 0;
};

// A token drawn from softmax(logits / temperature) over the top_p nucleus; ties go to the lower id. `draw` in [0, 1)
// chooses, so the same draw gives the same token. temperature > 0, 0 < top_p <= 1.
std::int32_t sample(std::span<const float> logits, const Sampling& sampling, double draw);

// The draw for token number `token` of prompt number `prompt`: the same whatever rank answers it, beside whichever
// others.
double sampling_draw(std::uint64_t seed, std::uint64_t prompt, std::uint64_t token);

}  // namespace shardlora
