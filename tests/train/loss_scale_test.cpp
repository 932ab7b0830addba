// Training in f16: the rules of the loss scale, what an overflow does to a run, and that f16 follows f32.
#include "train/loss_scale.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "decorators.h"
#include "tiny_job.h"

namespace shardlora {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(LossScale, StartsAt65536AndGrowsAfterTwoThousandGoodStepsInARow) {
  LossScale scale = LossScale::for_dtype(DType::kF16);
  for (int s = 0; s < 1999; ++s) scale.fitted();
  EXPECT_EQ(scale.value(), 65536);
  scale.fitted();
  EXPECT_EQ(scale.value(), 131072);
  for (int s = 0; s < 1999; ++s) scale.fitted();
  scale.overflowed();
  EXPECT_EQ(scale.value(), 65536);
  for (int s = 0; s < 1999; ++s) scale.fitted();
  EXPECT_EQ(scale.value(), 65536);
  scale.fitted();
  EXPECT_EQ(scale.value(), 131072);
}

TEST(LossScale, ShrinksToOneAndNoFurther) {
  LossScale scale = LossScale::dynamic(4);
  scale.overflowed();
  EXPECT_TRUE(scale.can_shrink());
  scale.overflowed();
  EXPECT_EQ(scale.value(), 1);
  EXPECT_FALSE(scale.can_shrink());
  scale.overflowed();
  EXPECT_EQ(scale.value(), 1);
}

TEST(LossScale, StopsGrowingWhereItsInverseWouldLeaveF32) {
  LossScale scale = LossScale::dynamic(LossScale::kMost / 2, 1);
  for (int s = 0; s < 3; ++s) scale.fitted();
  EXPECT_EQ(scale.value(), LossScale::kMost);
}

TEST(LossScale, OfOtherDtypesIsOneForEver) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    LossScale scale = LossScale::for_dtype(dtype);
    EXPECT_FALSE(scale.is_dynamic());
    EXPECT_FALSE(scale.can_shrink());
    scale.overflowed();
    for (int s = 0; s < 5000; ++s) scale.fitted();
    EXPECT_EQ(scale.value(), 1);
  }
}

TinyJob in_f16(double start = LossScale::kStart, std::int64_t interval = LossScale::kInterval) {
  return {.dtype = DType::kF16, .loss_scale = LossScale::dynamic(start, interval)};
}

TEST(F16, GivesTheSameBitsOnEveryNumberOfRanksThreadsAndWaves) {
  const TinyResult one = run(in_f16());
  TinyJob job = in_f16();
  job.ranks = job.threads = 2;
  EXPECT_EQ(run(job), one);
  job.ranks = 3;
  job.wave = 1;
  job.recompute = {Recompute::kNo};
  EXPECT_EQ(run(job), one);
}

// Some 45 tensors lie behind each other in three layers, each rounded once: as a random walk that moves a logit by
// sqrt(45) 2^-11 of its size. Losses are of that size, and a mean over tokens moves less.
TEST(F16, FollowsF32) {
  TinyJob job{.steps = 12};
  const TinyResult exact = run(job);
  job.dtype = DType::kF16;
  job.loss_scale = LossScale::dynamic();
  const TinyResult rounded = run(job);
  const double allowed = std::sqrt(45.0) * 0x1p-11;
  for (std::size_t s = 0; s < exact.losses.size(); ++s) {
    EXPECT_NEAR(rounded.losses[s], exact.losses[s], allowed * exact.losses[s]) << "step " << s + 1;
    EXPECT_NEAR(rounded.grad_norms[s], exact.grad_norms[s], 4 * allowed * exact.grad_norms[s]) << "step " << s + 1;
  }
  EXPECT_NEAR(rounded.eval_loss, exact.eval_loss, allowed * exact.eval_loss);
  EXPECT_NE(rounded.losses, exact.losses);
  EXPECT_LT(rounded.losses.back(), 0.97 * rounded.losses.front());
}

// Multiplying by two is exact but for subnormals, which 2^12 keeps away from these gradients.
TEST(F16, GivesTheSameStepForEveryScaleThatFits) {
  const TinyResult small = run(in_f16(0x1p12)), large = run(in_f16(0x1p13));
  EXPECT_EQ(small.losses[0], large.losses[0]);
  EXPECT_NEAR(small.grad_norms[0], large.grad_norms[0], 0x1p-11 * large.grad_norms[0]);
  EXPECT_NE(small.loss_scales, large.loss_scales);
}

// Steps of a run that were.
std::ptrdiff_t skipped(const TinyResult& result) {
  return std::count(result.grad_norms.begin(), result.grad_norms.end(), -1.0);
}

TEST(F16, AnOverflowSkipsTheStepHalvesTheScaleAndTheRunRecovers) {
  TinyJob job = in_f16(0x1p26);
  job.steps = 16;
  const TinyResult one = run(job);
  EXPECT_EQ(one.grad_norms[0], -1);
  EXPECT_EQ(one.grad_norms[1], -1);
  for (std::size_t s = 0; s + 1 < one.losses.size(); ++s)
    EXPECT_EQ(one.loss_scales[s + 1], one.loss_scales[s] * (one.grad_norms[s] >= 0 ? 1.0 : 0.5));
  EXPECT_LE(skipped(one), 10);
  EXPECT_GT(one.grad_norms.back(), 0);
  EXPECT_LT(one.losses.back(), 0.98 * one.losses.front());
  for (const int ranks : {2, 3}) {
    job.ranks = ranks;
    job.wave = 1;
    job.optimizer = {ranks == 2 ? Tier::kPinned : Tier::kDevice};
    EXPECT_EQ(run(job), one) << ranks << " ranks";
  }
}

TEST(F16, ASkippedStepUpdatesNothing) {
  TinyJob job = in_f16(0x1p26);
  job.steps = 1;
  const TinyResult result = run(job);
  EXPECT_EQ(skipped(result), 1);
  EXPECT_EQ(result.adapters, result.start);
}

TEST(F16, TheScaleGrowsUntilItOverflows) {
  TinyJob job = in_f16(0x1p16, 1);
  job.steps = 14;
  const TinyResult result = run(job);
  EXPECT_GE(skipped(result), 1);
  for (std::size_t s = 0; s + 1 < result.losses.size(); ++s)
    EXPECT_EQ(result.loss_scales[s + 1], result.loss_scales[s] * (result.grad_norms[s] >= 0 ? 2.0 : 0.5));
}

struct GradientIsInfinite final : OpsDecorator {
  using OpsDecorator::OpsDecorator;
  void weight_gradients(std::span<const WeightGradient> jobs) override {
    OpsDecorator::weight_gradients(jobs);
    const WeightGradient& job = jobs[0];
    OpsDecorator::matmul(job.dw, job.dy, Op::kTranspose, job.x, Op::kNone, Accumulate::kNo, INFINITY);
  }
};

TEST(F16, ARunWhoseGradientsNeverFitStopsAtAScaleOfOne) {
  for (const int ranks : {1, 2}) {
    TinyJob job = in_f16(8);
    job.ranks = ranks;
    job.steps = 9;
    job.plant = [](Device& device) {
      return std::make_unique<DeviceDecorator>(device, nullptr, std::make_unique<GradientIsInfinite>(device.ops()));
    };
    try {
      run(job);
      ADD_FAILURE() << "it ran on";
    } catch (const Diverged& diverged) {
      EXPECT_THAT(diverged.what(), HasSubstr("is not finite, even at a loss scale of 1"));
      EXPECT_THAT(diverged.what(), HasSubstr("fp16: false"));
    }
  }
}

}  // namespace
}  // namespace shardlora
