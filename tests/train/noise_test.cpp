// Training with dropout and NEFTune: the same bits however the work is laid out, the gradient of what was computed, and
// evaluation without either.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "decorators.h"
#include "tiny_job.h"

namespace shardlora {
namespace {

const TinyJob kNoisy{.dropout = 0.3, .neftune_alpha = 4};

TinyJob noisy(TinyJob job) {
  job.dropout = kNoisy.dropout;
  job.neftune_alpha = kNoisy.neftune_alpha;
  return job;
}

TEST(NoisyTraining, GivesTheSameBitsHoweverTheWorkIsLaidOut) {
  const TinyResult one = run(kNoisy);
  for (const int ranks : {2, 3, 4}) EXPECT_EQ(run(noisy({.ranks = ranks})), one) << ranks << " ranks";
  for (const std::int64_t wave : {1, 2}) EXPECT_EQ(run(noisy({.ranks = 2, .wave = wave})), one) << "wave of " << wave;
  EXPECT_EQ(run(noisy({.recompute = {Recompute::kNo}})), one);
  EXPECT_EQ(run(noisy({.ranks = 2, .wave = 1, .recompute = {Recompute::kNo}})), one);
  EXPECT_EQ(run(noisy({.threads = 2})), one);
  EXPECT_EQ(run(noisy({.ranks = 2, .mode = StreamMode::kDelayed})), one);
}

TEST(NoisyTraining, AllocatesNothingFromTheSecondStepOn) {
  const TinyResult result = run(noisy({.steps = 4}));
  for (const std::uint64_t count : result.allocations) EXPECT_EQ(count, result.allocations[0]);
}

TEST(NoisyTraining, DropoutAndNeftuneEachChangeTheLossButNotAnEvaluation) {
  const TinyResult plain = run({.steps = 0}), first = run({.steps = 1});
  for (const TinyJob& job : {TinyJob{.dropout = 0.3}, TinyJob{.neftune_alpha = 4}}) {
    TinyJob once = job, never = job;
    once.steps = 1;
    never.steps = 0;
    EXPECT_NE(run(once).losses, first.losses);
    EXPECT_EQ(run(never).eval_loss, plain.eval_loss);
  }
}

// The loss at the start, moved by `size` along `direction`.
double loss_at(const TinyJob& job, const TinyResult& from, const std::vector<std::vector<float>>& direction,
               double size) {
  TinyJob moved = job;
  moved.start = from.start;
  for (std::size_t u = 0; u < moved.start.size(); ++u)
    for (std::size_t i = 0; i < moved.start[u].size(); ++i)
      moved.start[u][i] += static_cast<float>(size * static_cast<double>(direction[u][i]));
  return run(moved).losses[0];
}

// ||central difference - gradient . direction|| / |gradient . direction| for a direction of length 1.
double derivative_error(const TinyJob& job) {
  const TinyResult at = run(job);
  double length = 0;
  std::vector<std::vector<float>> direction = at.gradients;
  for (std::vector<float>& unit : direction)
    for (std::size_t i = 0; i < unit.size(); ++i) {
      // The gradient's own direction, every value weighted differently: a share that is missing shows.
      unit[i] *= 0.5F + static_cast<float>(i % 7) / 4;
      length += static_cast<double>(unit[i]) * static_cast<double>(unit[i]);
    }
  double slope = 0;
  for (std::size_t u = 0; u < direction.size(); ++u)
    for (std::size_t i = 0; i < direction[u].size(); ++i) {
      direction[u][i] /= static_cast<float>(std::sqrt(length));
      slope += static_cast<double>(at.gradients[u][i]) * static_cast<double>(direction[u][i]);
    }
  constexpr double kSize = 0.02;
  const double difference = (loss_at(job, at, direction, kSize) - loss_at(job, at, direction, -kSize)) / (2 * kSize);
  return std::abs(difference - slope) / std::abs(slope);
}

// Losses are means of some 100 f32 values near 4.6, so a difference is good to 1e-7 / 0.04 = 3e-6 of slopes near 0.1;
// the third derivative's share is of the same size.
constexpr double kDerivativeLimit = 1e-3;

TEST(NoisyTraining, GivesTheGradientOfTheDroppedFunction) {
  TinyJob job = kNoisy;
  job.steps = 1;
  job.codec = Codec::kF32;
  EXPECT_LT(derivative_error(job), kDerivativeLimit);
}

// The backward pass of dropout, left out.
struct WithoutMaskInBackward final : OpsDecorator {
  using OpsDecorator::OpsDecorator;
  void dropout(Tensor y, ConstTensor x, const Noise& noise, float p, Accumulate accumulate) override {
    if (accumulate == Accumulate::kYes)
      OpsDecorator::add(y, y, x);
    else
      OpsDecorator::dropout(y, x, noise, p, accumulate);
  }
};

TEST(NoisyTraining, AMaskLeftOutOfTheBackwardPassIsCaught) {
  TinyJob job = kNoisy;
  job.steps = 1;
  job.codec = Codec::kF32;
  job.plant = [](Device& device) {
    return std::make_unique<DeviceDecorator>(device, nullptr, std::make_unique<WithoutMaskInBackward>(device.ops()));
  };
  EXPECT_GT(derivative_error(job), 5 * kDerivativeLimit);
}

// Notes for which module each mask is made.
struct PlacesOfMasks final : OpsDecorator {
  PlacesOfMasks(Ops& inner, std::multiset<std::uint32_t>& places) : OpsDecorator(inner), places_(places) {}
  void dropout(Tensor y, ConstTensor x, const Noise& noise, float p, Accumulate accumulate) override {
    if (!rehearsing()) places_.insert(noise.place);
    OpsDecorator::dropout(y, x, noise, p, accumulate);
  }
  std::multiset<std::uint32_t>& places_;
};

TEST(NoisyTraining, EveryModuleOfEveryLayerHasAMaskOfItsOwn) {
  std::multiset<std::uint32_t> places;
  TinyJob job{.steps = 1, .micro_batches = 1, .recompute = {Recompute::kNo}, .dropout = 0.1};
  job.plant = [&](Device& device) {
    return std::make_unique<DeviceDecorator>(device, nullptr, std::make_unique<PlacesOfMasks>(device.ops(), places));
  };
  run(job);
  // 3 layers x 7 modules; each forward, backward to the input, and for the gradient of A.
  EXPECT_EQ(std::set<std::uint32_t>(places.begin(), places.end()).size(), 21U);
  EXPECT_EQ(places.size(), 3U * 21U);
  EXPECT_EQ(places.count(0), 0U) << "the place of the noise on embeddings";
}

}  // namespace
}  // namespace shardlora
