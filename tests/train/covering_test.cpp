// As deep as the largest models, in every pair of ways to rest and to compute: the bits of one plain run.
#include "covering_array.h"

#include <gtest/gtest.h>

#include "comm/single_rendezvous.h"
#include "sanitized.h"
#include "tiny_job.h"

namespace shardlora {
namespace {

// One thing in which jobs may differ.
struct Axis {
  std::vector<std::function<void(TinyJob&)>> levels;
};

template <typename Value>
Axis axis(Value TinyJob::* member, std::vector<Value> values) {
  Axis axis;
  for (const Value& value : values) axis.levels.emplace_back([=](TinyJob& job) { job.*member = value; });
  return axis;
}

using Tiers = std::vector<Tier>;             // of the units, in turns
using Recomputing = std::vector<Recompute>;  // of the layers, in turns

// Each is given to the units in the sharding that another axis chooses, which comes behind it.
Axis tiers(const std::vector<Tiers>& values) {
  Axis axis;
  for (const Tiers& value : values)
    axis.levels.emplace_back([=](TinyJob& job) {
      job.frozen.clear();
      for (const Tier tier : value) job.frozen.push_back({tier});
    });
  return axis;
}

Axis sharding() {
  Axis axis;
  for (const Sharding value : {Sharding::kSharded, Sharding::kReplicated})
    axis.levels.emplace_back([=](TinyJob& job) {
      for (Residence& residence : job.frozen) residence.sharding = value;
    });
  return axis;
}

// Sanitizers and the emulated GPU take tens of times as long: there layers and levels are fewer.
bool on_cpu() { return make_device_of_rank({}, SingleRendezvous())->host_reads(); }
bool slow() { return kThreadSanitizer || kSanitized || !on_cpu(); }

std::vector<Axis> axes(const std::vector<StreamMode>& modes) {
  const auto few = []<typename Value>(std::vector<Value> values, std::size_t some) {
    if (slow()) values.resize(std::min(some, values.size()));
    return values;
  };
  constexpr Tier kDevice = Tier::kDevice, kPinned = Tier::kPinned, kDisk = Tier::kDisk;
  return {
      tiers(few(std::vector<Tiers>{{kPinned, kDevice, kDisk}, {kDisk}, {kPinned}, {kDevice}}, 3)),
      sharding(),
      axis(&TinyJob::ranks, few(std::vector<int>{3, 2, 4, 1}, 2)),
      axis(&TinyJob::wave, few(std::vector<std::int64_t>{1, 0, 2}, 2)),
      axis(&TinyJob::recompute, few(std::vector<Recomputing>{{Recompute::kYes},
                                                             {Recompute::kNo, Recompute::kCheap, Recompute::kYes},
                                                             {Recompute::kCheap}},
                                    2)),
      axis(&TinyJob::optimizer, few(std::vector<Tiers>{{kDevice}, {kPinned, kDevice}, {kPinned}}, 2)),
      axis(&TinyJob::layer_inputs, {Tier::kDevice, Tier::kPinned, Tier::kDisk}),
      axis(&TinyJob::decode, {Decode::kUnit, Decode::kMatrix}),
      axis(&TinyJob::prefetch, {Prefetch::kYes, Prefetch::kNo}),
      axis(&TinyJob::mode, modes),
  };
}

TEST(CoveringArray, HoldsEveryPairOfLevels) {
  for (const Levels& counts : {Levels{2, 2}, Levels{4, 2, 4, 3, 2, 2, 2, 2, 1}, Levels{1, 3, 1}, Levels{4, 4, 4}}) {
    const std::vector<Levels> rows = covering_array(counts);
    for (std::size_t a = 0; a < counts.size(); ++a)
      for (std::size_t b = a + 1; b < counts.size(); ++b)
        for (std::size_t i = 0; i < counts[a]; ++i)
          for (std::size_t j = 0; j < counts[b]; ++j)
            EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [&](const Levels& r) { return r[a] == i && r[b] == j; }))
                << "axis " << a << " at " << i << ", axis " << b << " at " << j;
    Levels most = counts;
    std::sort(most.rbegin(), most.rend());
    EXPECT_LE(rows.size(), 2 * most[0] * most[1]);  // no fewer than that product, once, would do
  }
}

// Runs a job in every pair of ways; what it gives on one rank, from device memory, is right.
void expect_same_bits(const TinyJob& plain, const std::vector<StreamMode>& modes) {
  const TinyResult right = run(plain);
  const std::vector<Axis> axes = shardlora::axes(modes);
  Levels counts;
  for (const Axis& axis : axes) counts.push_back(axis.levels.size());
  for (const Levels& row : covering_array(counts)) {
    TinyJob job = plain;
    for (std::size_t a = 0; a < axes.size(); ++a) axes[a].levels[row[a]](job);
    const TinyResult result = run(job);
    EXPECT_EQ(result, right) << testing::PrintToString(row);
    EXPECT_EQ(result.allocations, std::vector<std::uint64_t>(right.allocations.size())) << testing::PrintToString(row);
  }
}

TEST(DeepModel, GivesTheSameBitsAndAllocatesNothingHoweverItRestsAndComputes) {
  expect_same_bits({.steps = 2, .layers = slow() ? 8 : 80, .micro_batches = 3, .lora_rank = 32},
                   {StreamMode::kInline, StreamMode::kQueued});
}

TEST(DeepModel, DoesSoWhenEveryStreamDawdles) {
  if (!on_cpu()) GTEST_SKIP() << "a card's streams take the time that they take";
  expect_same_bits({.steps = 2, .micro_batches = 3, .lora_rank = 32}, {StreamMode::kDelayed});
}

}  // namespace
}  // namespace shardlora
