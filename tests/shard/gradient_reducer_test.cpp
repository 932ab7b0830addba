// Gradients on their way from micro-batches to the owners of the shards.
#include "shard/gradient_reducer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "backend/cpu/cpu_device.h"
#include "shard/gradient_tree.h"
#include "shard/traffic.h"
#include "train/thread_ranks.h"

namespace shardlora {
namespace {

// Values whose sum depends on the order in which they are added.
float leaf_value(std::size_t unit, std::int64_t leaf, std::size_t i) {
  return std::ldexp(1.0F + static_cast<float>(i % 127) / 128,
                    static_cast<int>((leaf * 7 + static_cast<int>(unit)) % 29));
}

void write_leaf(GradientReducer& reducer, const ParamStore& store, std::size_t unit, std::int64_t leaf) {
  std::vector<float> values(static_cast<std::size_t>(store.layout(unit).trainable_elements()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = leaf_value(unit, leaf, i);
  std::memcpy(reducer.leaf(unit), values.data(), values.size() * sizeof(float));
  reducer.push(unit, leaf);
}

// A step's whole gradients, one unit behind the other. `parts`: of unit 0, which has two where that is asked for.
std::vector<float> gradients(int ranks, std::int64_t leaves, std::int64_t wave, bool two_parts) {
  const std::vector<UnitSpec> units = units_of_growing_size(3);
  const auto shares = on_thread_ranks(ranks, [&](Rendezvous& rendezvous) {
    const auto device = make_cpu_device();
    const auto communicator = rendezvous.make_communicator(*device, "reductions");
    const auto rank = static_cast<std::size_t>(rendezvous.rank());
    ParamStore store(*device, rendezvous.rank(), ranks, units);
    GradientReducer reducer(*device, store, *communicator, leaves, wave,
                            two_parts ? std::vector<std::size_t>{0} : std::vector<std::size_t>{});
    const Waves waves{deal_micro_batches(leaves, ranks), wave};
    std::vector<std::vector<float>> own;
    for (int step = 0; step < 2; ++step) {  // the second one finds nothing of the first
      reducer.begin_step(waves);
      std::vector<std::pair<std::size_t, GradientPart>> visits;
      if (two_parts) visits.emplace_back(0, GradientPart::kFirst);
      visits.insert(visits.end(), {{2, GradientPart::kFirst}, {1, GradientPart::kFirst}});
      visits.emplace_back(0, two_parts ? GradientPart::kSecond : GradientPart::kFirst);
      for (std::int64_t w = 0; w < waves.count(); ++w) {
        const auto [begin, end] = waves.of_rank(rank, w);
        for (const auto& [unit, part] : visits) {
          for (std::int64_t leaf = begin; leaf < end; ++leaf) write_leaf(reducer, store, unit, leaf);
          reducer.reduce(unit, part);
        }
      }
      reducer.finish();
    }
    device->compute().synchronize();
    for (std::size_t u = 0; u < units.size(); ++u) {
      const Tensor share = store.trainable(u).gradient;
      const auto* begin = reinterpret_cast<const float*>(share.data);
      own.emplace_back(begin, begin + share.numel());
    }
    return own;
  });
  std::vector<float> all;
  for (std::size_t u = 0; u < units.size(); ++u)
    for (const auto& own : shares) all.insert(all.end(), own[u].begin(), own[u].end());
  return all;
}

// The sum as the tree has it: pairs of neighbours, then pairs of pairs.
float tree_sum(std::size_t unit, std::int64_t first, std::int64_t width, std::int64_t leaves, std::size_t i) {
  if (first >= leaves) return 0;
  if (width == 1) return leaf_value(unit, first, i);
  const std::int64_t half = width / 2;
  if (first + half >= leaves) return tree_sum(unit, first, half, leaves, i);
  return tree_sum(unit, first, half, leaves, i) + tree_sum(unit, first + half, half, leaves, i);
}

TEST(GradientReducer, AddsInOneOrderOnEveryNumberOfRanksInEveryWave) {
  const std::vector<UnitSpec> units = units_of_growing_size(3);
  for (const std::int64_t leaves : {1, 5, 7, 8}) {
    std::vector<float> expected;
    for (std::size_t u = 0; u < units.size(); ++u)
      for (std::size_t i = 0; i < static_cast<std::size_t>(units[u].params[1].shape.numel()); ++i)
        expected.push_back(tree_sum(u, 0, 8, leaves, i));
    for (const int ranks : {1, 2, 3})
      for (const std::int64_t wave : {1, 2, 3, 8})
        EXPECT_TRUE(gradients(ranks, leaves, wave, false) == expected)
            << leaves << " leaves, " << ranks << " ranks, waves of " << wave;
  }
}

TEST(GradientReducer, AddsTheSecondPartToTheFirst) {
  const std::vector<float> once = gradients(1, 5, 5, false);
  const auto first_unit = static_cast<std::size_t>(units_of_growing_size(1)[0].params[1].shape.numel());
  for (const int ranks : {1, 2})
    for (const std::int64_t wave : {1, 2, 5}) {
      const std::vector<float> twice = gradients(ranks, 5, wave, true);
      for (std::size_t i = 0; i < once.size(); ++i)
        ASSERT_EQ(twice[i], i < first_unit ? 2 * once[i] : once[i]) << i << ", " << ranks << " ranks";
    }
}

// Rule 2 of layer_streamer.h: sums have a communicator of their own, on which nothing is gathered.
TEST(GradientReducer, ExchangesOnceAUnit) {
  const std::vector<UnitSpec> units = units_of_growing_size(3);
  on_thread_ranks(2, [&](Rendezvous& rendezvous) {
    const auto device = make_cpu_device();
    const auto communicator = rendezvous.make_communicator(*device, "reductions");
    WatchedCommunicator reductions(*communicator, *device);
    ParamStore store(*device, rendezvous.rank(), 2, units);
    GradientReducer reducer(*device, store, reductions, 2, 1);
    reducer.begin_step({{0, 1, 2}, 1});
    for (const std::size_t unit : {2, 1, 0}) {
      write_leaf(reducer, store, unit, rendezvous.rank());
      reducer.reduce(unit);
    }
    reducer.finish();
    EXPECT_THAT(reductions.issued(), testing::ElementsAre("exchange", "exchange", "exchange"));
    return 0;
  });
}

// What a rank takes for up to four micro-batches of its own, in KiB: its share of all units' gradients is 96, the
// largest unit's sums are 96 unsharded. Sums of all units that stayed unsharded until the last wave took 672 and 528.
TEST(GradientReducer, KeepsSharesBetweenWaves) {
  struct Kibibytes {
    std::size_t gradients, communication;
    bool operator==(const Kibibytes&) const = default;
  };
  const std::vector<UnitSpec> units = units_of_growing_size(3);
  const auto taken = [&](std::int64_t wave) {
    return on_thread_ranks(2, [&](Rendezvous& rendezvous) {
      const auto device = make_cpu_device();
      const auto communicator = rendezvous.make_communicator(*device, "reductions");
      ParamStore store(*device, rendezvous.rank(), 2, units);
      const GradientReducer reducer(*device, store, *communicator, 8, wave);
      const MemoryUse use = device->memory(Tier::kDevice);
      const auto now = [&](Purpose purpose) { return use.now[static_cast<std::size_t>(purpose)] >> 10; };
      return Kibibytes{now(Purpose::kGradients), now(Purpose::kCommunication)};
    });
  };
  EXPECT_EQ(taken(1)[0], (Kibibytes{.gradients = 96 + 3 * 96 + 96, .communication = 96 + 2 * 48}));
  EXPECT_EQ(taken(2)[0], (Kibibytes{.gradients = 96 + 2 * 96 + 2 * 96, .communication = 2 * 96 + 3 * 48}));
  EXPECT_EQ(taken(4)[0], (Kibibytes{.gradients = 96 + 3 * 96, .communication = 3 * 96 + 5 * 48}));
}

TEST(GradientReducer, RefusesAUnitThatLacksALeaf) {
  const std::vector<UnitSpec> units = units_of_growing_size(1);
  const auto device = make_cpu_device();
  const auto communicator = make_thread_ranks(1)[0]->make_communicator(*device, "reductions");
  ParamStore store(*device, 0, 1, units);
  GradientReducer reducer(*device, store, *communicator, 2, 2);
  reducer.begin_step({{0, 2}, 2});
  write_leaf(reducer, store, 0, 0);
  EXPECT_THROW(reducer.reduce(0), std::logic_error);
  write_leaf(reducer, store, 0, 1);
  EXPECT_NO_THROW(reducer.reduce(0));
}

}  // namespace
}  // namespace shardlora
