#include "generate/sampling.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/philox.h"

namespace shardlora {
namespace {

struct Candidate {
  double weight;
  std::int32_t id;
};

// Of a heap: the most likely on top, of equal ones the lower id.
bool below(const Candidate& a, const Candidate& b) { return a.weight != b.weight ? a.weight < b.weight : a.id > b.id; }

}  // namespace

std::int32_t sample(std::span<const float> logits, const Sampling& sampling, double draw) {
  CHECK(sampling.temperature > 0 && sampling.top_p > 0 && sampling.top_p <= 1, "temperature {}, top_p {}",
        sampling.temperature, sampling.top_p);
  const double highest = *std::max_element(logits.begin(), logits.end());
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  double total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp((logits[i] - highest) / sampling.temperature);
    total += weight;
    candidates.push_back({weight, static_cast<std::int32_t>(i)});
  }
  double left = draw * total;
  if (sampling.top_p == 1) {
    auto chosen = candidates.begin();
    for (; chosen + 1 != candidates.end() && left >= chosen->weight; ++chosen) left -= chosen->weight;
    return chosen->id;
  }
  // A heap gives the nucleus without sorting the rest, which is nearly all of a vocabulary.
  std::make_heap(candidates.begin(), candidates.end(), below);
  auto rest = candidates.end();
  for (double reached = 0; rest != candidates.begin() && reached < sampling.top_p * total; reached += rest->weight)
    std::pop_heap(candidates.begin(), rest--, below);
  double nucleus = 0;
  for (auto c = rest; c != candidates.end(); ++c) nucleus += c->weight;
  left = draw * nucleus;
  auto chosen = candidates.end() - 1;  // the most likely one; then downwards
  for (; chosen != rest && left >= chosen->weight; --chosen) left -= chosen->weight;
  return chosen->id;
}

double sampling_draw(std::uint64_t seed, std::uint64_t prompt, std::uint64_t token) {
  constexpr std::uint32_t kStream = 0x5A3B1E00;  // keeps these draws apart from other uses of the seed
  const PhiloxKey key{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  const PhiloxBlock block = philox(key, {static_cast<std::uint32_t>(prompt), static_cast<std::uint32_t>(prompt >> 32),
                                         static_cast<std::uint32_t>(token), kStream});
  return block.v[0] * 0x1p-32;
}

}  // namespace shardlora
