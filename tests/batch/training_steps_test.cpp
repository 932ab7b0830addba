// What a run's steps are made of: every sample exactly once an epoch, nothing that depends on how many ranks there are.
#include "batch/training_steps.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "base/philox.h"

namespace shardlora {
namespace {

std::vector<Sample> samples_of(std::size_t count, std::uint32_t longest, std::uint32_t seed = 1) {
  std::vector<Sample> samples(count);
  for (std::uint32_t s = 0; s < count; ++s) {
    const std::uint32_t length = 2 + philox({seed, 0}, {s, 0, 0, 0}).v[0] % (longest - 1);
    samples[s].tokens.assign(length, static_cast<std::int32_t>(s));
    samples[s].trained.assign(length, 1);
  }
  return samples;
}

std::vector<StepBatch> run_of(TrainingSteps& steps, std::int64_t count) {
  std::vector<StepBatch> run;
  for (std::int64_t s = 0; s < count; ++s) run.push_back(steps.at(s));
  return run;
}

std::vector<const Sample*> samples_in(const StepBatch& step) {
  std::vector<const Sample*> all;
  for (const SampleRefs& m : step.micro_batches) all.insert(all.end(), m.begin(), m.end());
  return all;
}

std::vector<BatchOptions> all_kinds() {
  return {{.global_batch_size = 8, .micro_batch = {3, 0}, .seed = 5},
          {.global_batch_size = 8, .micro_batch = {1, 200}, .seed = 5},
          {.global_batch_size = 8, .micro_batch = {2, 0}, .pack_to = 150, .seed = 5},
          {.global_batch_size = 8, .micro_batch = {1, 300}, .pack_to = 150, .seed = 5},
          {.global_batch_size = 8, .micro_batch = {2, 0}, .group_by_length = true, .seed = 5}};
}

TEST(TrainingSteps, VisitEverySampleOncePerEpoch) {
  for (const std::size_t count : {1U, 7U, 1024U, 2500U}) {
    const std::vector<Sample> samples = samples_of(count, 100);
    for (const BatchOptions& options : all_kinds()) {
      TrainingSteps steps(samples, options);
      const std::int64_t first = steps.of_epoch(0), both = steps.of_epochs(2);
      std::multiset<const Sample*> seen[2];
      for (const StepBatch& step : run_of(steps, both)) {
        for (const Sample* s : samples_in(step)) seen[step.epoch].insert(s);
        EXPECT_LE(step.epoch, 1);
      }
      for (const auto& epoch : seen) {
        EXPECT_EQ(epoch.size(), count);
        EXPECT_EQ(std::set<const Sample*>(epoch.begin(), epoch.end()).size(), count);
      }
      EXPECT_TRUE(steps.at(first - 1).ends_epoch);
      EXPECT_DOUBLE_EQ(steps.at(first - 1).epochs_done, 1.0);
      EXPECT_EQ(steps.at(first).epoch, 1);
    }
  }
}

TEST(TrainingSteps, HaveAnotherOrderEveryEpoch) {
  const std::vector<Sample> samples = samples_of(64, 100);
  for (const BatchOptions& options : all_kinds()) {
    TrainingSteps steps(samples, options);
    EXPECT_NE(samples_in(steps.at(0)), samples_in(steps.at(steps.of_epoch(0))));
  }
}

TEST(TrainingSteps, AreTheSameFromWhereverTheyAreAsked) {
  const std::vector<Sample> samples = samples_of(500, 100);
  for (const BatchOptions& options : all_kinds()) {
    TrainingSteps forwards(samples, options), backwards(samples, options);
    const std::int64_t count = forwards.of_epochs(2.5);
    const std::vector<StepBatch> run = run_of(forwards, count);
    for (std::int64_t s = count - 1; s >= 0; --s)
      EXPECT_EQ(backwards.at(s).micro_batches, run[static_cast<std::size_t>(s)].micro_batches);
  }
}

TEST(TrainingSteps, LimitsAreTheLargestThatOccurs) {
  const std::vector<Sample> samples = samples_of(700, 100);
  for (const BatchOptions& options : all_kinds()) {
    TrainingSteps steps(samples, options);
    const std::int64_t count = steps.of_epochs(3);
    const StepLimits limits = steps.limits(count);
    StepLimits largest;
    for (const StepBatch& step : run_of(steps, count)) include_step(largest, step.micro_batches);
    EXPECT_EQ(limits.micro_batches, largest.micro_batches);
    EXPECT_EQ(limits.rows, largest.rows);
    EXPECT_EQ(limits.samples, largest.samples);
  }
}

TEST(TrainingSteps, OfARunWithoutEndAreWithinTheLimitsToo) {
  const std::vector<Sample> samples = samples_of(20, 100);
  TrainingSteps steps(samples, {.global_batch_size = 8, .micro_batch = {1, 120}, .seed = 5});
  const StepLimits limits = steps.limits(std::int64_t{1} << 60);
  StepLimits seen;
  for (const StepBatch& step : run_of(steps, 1000)) include_step(seen, step.micro_batches);  // 333 epochs
  EXPECT_LE(seen.micro_batches, limits.micro_batches);
  EXPECT_LE(seen.rows, limits.rows);
}

TEST(Packing, FillsRowsUpToTheirLengthFirstFit) {
  const std::vector<std::uint32_t> order{3, 0, 1, 2}, lengths{5, 4, 1, 6};
  const RowPlan plan = pack_first_fit(order, lengths, 10);
  // 3 (6 tokens) opens a row; 0 (5) does not fit and opens another; 1 (4) fits the first, 2 (1) the second.
  EXPECT_EQ(plan.samples, (std::vector<std::uint32_t>{3, 1, 0, 2}));
  EXPECT_EQ(plan.bounds, (std::vector<std::uint32_t>{0, 2, 4}));
}

TEST(Packing, NeverLooksBeyondItsWindow) {
  // The row that the first window leaves half empty stays so.
  std::vector<std::uint32_t> order(kPackingWindow + 1), lengths(kPackingWindow + 1, 2);
  std::iota(order.begin(), order.end(), 0U);
  const RowPlan plan = pack_first_fit(order, lengths, 2 * kPackingWindow + 2);
  EXPECT_EQ(plan.rows(), 2U);
}

TEST(Packing, LeavesLittleRoomInRows) {
  const std::vector<Sample> samples = samples_of(3000, 400);
  TrainingSteps steps(samples, {.global_batch_size = 4, .micro_batch = {1, 0}, .pack_to = 2048, .seed = 1});
  EXPECT_GT(steps.packing_efficiency(), 0.97);
  for (std::int64_t s = 0; s < steps.of_epoch(0); ++s)
    for (const SampleRefs& row : steps.at(s).micro_batches) EXPECT_LE(total_tokens(row), 2048);
}

TEST(TokenBudget, KeepsTheRowsOfTheStepAndHoldsRowsOfSimilarLength) {
  const std::vector<Sample> samples = samples_of(600, 300);
  TrainingSteps fixed(samples, {.global_batch_size = 32, .micro_batch = {4, 0}, .seed = 9});
  TrainingSteps dynamic(samples, {.global_batch_size = 32, .micro_batch = {4, 1000}, .seed = 9});
  ASSERT_EQ(fixed.of_epoch(0), dynamic.of_epoch(0));
  std::int64_t micro_batches = 0, tokens = 0;
  for (std::int64_t s = 0; s < fixed.of_epoch(0); ++s) {
    std::vector<const Sample*> a = samples_in(fixed.at(s)), b = samples_in(dynamic.at(s));
    std::sort(a.begin(), a.end());
    std::size_t before = 0;
    for (const Sample* sample : b) EXPECT_GE(sample->tokens.size(), std::exchange(before, sample->tokens.size()));
    std::sort(b.begin(), b.end());
    EXPECT_EQ(a, b) << "step " << s;
    for (const SampleRefs& m : dynamic.at(s).micro_batches) {
      EXPECT_LE(total_tokens(m), 1000);
      tokens += total_tokens(m);
      ++micro_batches;
    }
  }
  EXPECT_GT(tokens, 750 * micro_batches) << "micro-batches are far from their budget";
}

TEST(GroupByLength, PutsSamplesOfSimilarLengthIntoAStep) {
  const std::vector<Sample> samples = samples_of(1024, 500);
  const auto spread = [&](bool grouped) {
    TrainingSteps steps(samples,
                        {.global_batch_size = 16, .micro_batch = {4, 0}, .group_by_length = grouped, .seed = 2});
    double sum = 0;
    std::vector<std::size_t> longest;
    for (std::int64_t s = 0; s < steps.of_epoch(0); ++s) {
      std::size_t low = 1000, high = 0;
      for (const Sample* sample : samples_in(steps.at(s))) {
        low = std::min(low, sample->tokens.size());
        high = std::max(high, sample->tokens.size());
      }
      sum += static_cast<double>(high - low);
      longest.push_back(high);
    }
    EXPECT_FALSE(std::is_sorted(longest.rbegin(), longest.rend())) << "the steps' lengths have a trend";
    return sum / static_cast<double>(steps.of_epoch(0));
  };
  EXPECT_LT(10 * spread(true), spread(false));
}

}  // namespace
}  // namespace shardlora
