// The same samples in a step give the same step, however they are put together: packed into rows or a row each, cut by
// a number of rows or by a token budget; bit for bit where only ranks, waves or threads differ.
#include <gtest/gtest.h>

#include "batch/training_steps.h"
#include "golden_comparison.h"
#include "tiny_job.h"

namespace shardlora {
namespace {

// All rows of the job's 40 samples in one step, so that every way to cut them has the same samples.
TinyResult run_cut(const BatchOptions& options, TinyJob job = {}) {
  job.steps = 2;
  job.batches = [options](const std::vector<Sample>& samples) {
    TrainingSteps steps(samples, options);
    return std::vector{steps.at(0).micro_batches, steps.at(1).micro_batches};
  };
  return run(job);
}

constexpr BatchOptions kOneByOne{.global_batch_size = 40, .micro_batch = {1, 0}, .seed = 3};
constexpr BatchOptions kFixed{.global_batch_size = 40, .micro_batch = {4, 0}, .seed = 3};
constexpr BatchOptions kDynamic{.global_batch_size = 40, .micro_batch = {4, 80}, .seed = 3};
constexpr BatchOptions kPacked{.global_batch_size = 40, .micro_batch = {2, 0}, .pack_to = 64, .seed = 3};

void expect_same_step(const TinyResult& a, const TinyResult& b, const char* what) {
  // f32 sums in another order: of some 700 targets' losses, of 40 micro-batches' gradients through three layers.
  EXPECT_NEAR(a.losses[0], b.losses[0], 2e-6 * b.losses[0]) << what;
  EXPECT_NEAR(a.grad_norms[0], b.grad_norms[0], 1e-5 * b.grad_norms[0]) << what;
  ASSERT_EQ(a.gradients.size(), b.gradients.size());
  for (std::size_t u = 0; u < a.gradients.size(); ++u) {
    if (b.gradients[u].empty()) continue;
    EXPECT_LT(distance(a.gradients[u], b.gradients[u]), kGradientLimit) << what << ", unit " << u;
  }
}

TEST(Packing, GivesTheStepOfOneSampleARow) {
  const TinyResult unpacked = run_cut(kOneByOne);
  expect_same_step(run_cut(kPacked), unpacked, "packed");
  expect_same_step(run_cut(kFixed), unpacked, "four rows a micro-batch");
}

TEST(DynamicBatching, GivesTheStepOfAFixedNumberOfRows) {
  expect_same_step(run_cut(kDynamic), run_cut(kFixed), "token budget");
}

TEST(Packing, GivesTheSameBitsOnEveryNumberOfRanksAndForEveryWave) {
  for (const BatchOptions& options : {kPacked, kDynamic}) {
    const TinyResult one = run_cut(options);
    EXPECT_EQ(run_cut(options, {.ranks = 2}), one);
    EXPECT_EQ(run_cut(options, {.ranks = 3, .wave = 2}), one);
    EXPECT_EQ(run_cut(options, {.wave = 1, .recompute = {Recompute::kNo}}), one);
    EXPECT_EQ(run_cut(options, {.threads = 2}), one);
  }
}

// A planted mistake: rows that see the samples before them. The comparison has to find it.
TEST(Packing, AttentionAcrossSamplesWouldBeFound) {
  TinyJob job;
  job.steps = 1;
  job.batches = [](const std::vector<Sample>& samples) {
    TrainingSteps steps(samples, kPacked);
    std::vector<SampleRefs> micro_batches = steps.at(0).micro_batches;
    static std::vector<Sample> glued;  // as long as the job lives
    glued.assign(1, *micro_batches[0][0]);
    for (std::size_t i = 1; i < micro_batches[0].size(); ++i) {
      const Sample& s = *micro_batches[0][i];
      glued[0].tokens.insert(glued[0].tokens.end(), s.tokens.begin(), s.tokens.end());
      glued[0].trained.insert(glued[0].trained.end(), s.trained.begin(), s.trained.end());
    }
    micro_batches[0] = {&glued[0]};
    return std::vector<std::vector<SampleRefs>>{micro_batches};
  };
  const double right = run_cut(kOneByOne).losses[0];
  EXPECT_GT(std::abs(run(job).losses[0] - right), 1e-4 * right);
}

}  // namespace
}  // namespace shardlora
