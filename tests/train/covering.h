// Every pair of ways in which a model may rest and compute, for tests that give the bits of one plain run.
#pragma once

#include <gtest/gtest.h>

#include "comm/single_rendezvous.h"
#include "covering_array.h"
#include "sanitized.h"
#include "tiny_job.h"

namespace shardlora {

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
inline Axis tiers(const std::vector<Tiers>& values) {
  Axis axis;
  for (const Tiers& value : values)
    axis.levels.emplace_back([=](TinyJob& job) {
      job.frozen.clear();
      for (const Tier tier : value) job.frozen.push_back({tier});
    });
  return axis;
}

inline Axis sharding() {
  Axis axis;
  for (const Sharding value : {Sharding::kSharded, Sharding::kReplicated})
    axis.levels.emplace_back([=](TinyJob& job) {
      for (Residence& residence : job.frozen) residence.sharding = value;
    });
  return axis;
}

// Sanitizers and the emulated GPU take tens of times as long: there layers and levels are fewer.
inline bool on_cpu() { return make_device_of_rank({}, SingleRendezvous())->host_reads(); }
inline bool slow() { return kThreadSanitizer || kSanitized || !on_cpu(); }

inline std::vector<Axis> axes(const std::vector<StreamMode>& modes) {
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

// Runs a job in every pair of ways; what it gives on one rank, from device memory, is right.
inline void expect_same_bits(const TinyJob& plain, const std::vector<StreamMode>& modes) {
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

}  // namespace shardlora
