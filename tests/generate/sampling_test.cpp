#include "generate/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <vector>

namespace shardlora {
namespace {

const std::vector<float> kLogits{0.5F, 2.0F, -1.0F, 2.0F, 0.0F};

std::map<std::int32_t, double> shares(const Sampling& sampling, int draws) {
  std::map<std::int32_t, double> counts;
  for (int i = 0; i < draws; ++i)
    counts[sample(kLogits, sampling, sampling_draw(sampling.seed, 0, static_cast<std::uint64_t>(i)))] += 1.0 / draws;
  return counts;
}

TEST(Sampling, DrawsTokensAsOftenAsTheirProbabilitySays) {
  constexpr int kDraws = 20000;
  for (const double temperature : {0.5, 1.0, 3.0}) {
    std::vector<double> weights;
    double total = 0;
    for (const float logit : kLogits) total += weights.emplace_back(std::exp(logit / temperature));
    auto seen = shares({temperature, 1, 7}, kDraws);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double p = weights[i] / total, deviation = std::sqrt(p * (1 - p) / kDraws);
      EXPECT_NEAR(seen[static_cast<std::int32_t>(i)], p, 5 * deviation) << "token " << i << " at " << temperature;
    }
  }
}

TEST(Sampling, TakesNothingFromBelowTheNucleus) {
  // At temperature 1 tokens 1 and 3 have 0.41 each, token 0 has 0.09.
  const auto tokens = [](double top_p) {
    std::set<std::int32_t> seen;
    for (const auto& [id, share] : shares({1, top_p, 1}, 2000)) seen.insert(id);
    return seen;
  };
  EXPECT_EQ(tokens(0.3), (std::set<std::int32_t>{1})) << "of equal tokens the lower id comes first";
  EXPECT_EQ(tokens(0.5), (std::set<std::int32_t>{1, 3}));
  EXPECT_EQ(tokens(0.9), (std::set<std::int32_t>{0, 1, 3}));
  EXPECT_EQ(tokens(1), (std::set<std::int32_t>{0, 1, 2, 3, 4}));
}

TEST(Sampling, EveryDrawGivesAToken) {
  for (const double draw : {0.0, 0.5, 1 - 0x1p-32}) {
    EXPECT_NO_THROW(sample(kLogits, {1, 1, 0}, draw));
    EXPECT_EQ(sample(std::vector<float>{-INFINITY, 3.0F}, {1, 1, 0}, draw), 1);
    EXPECT_EQ(sample(std::vector<float>{-1e30F, 1e30F, -1e30F}, {0.01, 0.99, 0}, draw), 1);
  }
}

TEST(Sampling, ADrawFollowsFromSeedPromptAndToken) {
  EXPECT_EQ(sampling_draw(1, 2, 3), sampling_draw(1, 2, 3));
  std::set<double> draws;
  for (std::uint64_t seed : {1, 2})
    for (std::uint64_t prompt : {0, 1})
      for (std::uint64_t token : {0, 1}) draws.insert(sampling_draw(seed, prompt, token));
  EXPECT_EQ(draws.size(), 8U);
}

}  // namespace
}  // namespace shardlora
