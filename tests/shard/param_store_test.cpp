// Parameters at rest.
#include <gtest/gtest.h>

#include <map>

#include "backend/cpu/cpu_device.h"
#include "comm/single_rendezvous.h"
#include "shard/kept_parameters.h"
#include "shard/param_store.h"

namespace shardlora {
namespace {

UnitSpec unit_of(const std::string& name, std::int64_t frozen, std::int64_t trainable) {
  return {name,
          {{name + ".w", {frozen}, dense_format(DType::kF32), false},
           {name + ".a", {trainable}, dense_format(DType::kF32), true}}};
}

// A GPU gives memory in pieces of 2 MiB: a buffer a unit would waste a gigabyte of a large model's.
TEST(ParamStore, TakesOneBufferAKindHoweverManyUnitsThereAre) {
  const std::vector<UnitSpec> units{unit_of("a", 5000, 9000), unit_of("b", 100, 3), unit_of("c", 70000, 20000)};
  CpuDevice device({});
  const ParamStore store(device, 1, 2, units);
  const MemoryUse use = device.memory(Tier::kDevice);
  EXPECT_EQ(use.allocations, 4U);
  std::size_t frozen = 0;
  std::map<const std::byte*, std::size_t> shares;
  for (std::size_t u = 0; u < units.size(); ++u) {
    frozen += store.frozen_share(u);
    const TrainableShare share = store.trainable(u);
    for (const Tensor& t : {share.master, share.gradient, share.state.rows(0, 1), share.state.rows(1, 2)})
      if (t.numel() > 0) shares[t.data] = t.bytes();
  }
  EXPECT_GE(shares.size(), 8U);
  const std::byte* end = nullptr;
  for (const auto& [begin, bytes] : shares) {
    EXPECT_GE(begin, end) << "two shares overlap";
    end = begin + bytes;
  }
  EXPECT_EQ(use.now[static_cast<std::size_t>(Purpose::kFrozen)], frozen);
}

TEST(ParamStore, RestsEverySegmentWhereItIsTold) {
  const std::vector<UnitSpec> units{unit_of("a", 1024, 4096), unit_of("b", 1024, 8192)};
  CpuDevice device({});
  const ParamStore store(device, 0, 1, units,
                         std::vector<UnitResidence>{{{Tier::kPinned}, Tier::kDevice, Tier::kPinned, Tier::kDisk},
                                                    {{Tier::kDisk}, Tier::kPinned, Tier::kDevice, Tier::kPinned}});
  const auto on = [&](Tier tier, Purpose purpose) {
    return device.memory(tier).now[static_cast<std::size_t>(purpose)];
  };
  EXPECT_EQ(on(Tier::kDevice, Purpose::kFrozen), 0U);
  EXPECT_EQ(on(Tier::kPinned, Purpose::kFrozen), 4096U);
  EXPECT_EQ(on(Tier::kDevice, Purpose::kTrainable), 4 * 4096U);
  EXPECT_EQ(on(Tier::kPinned, Purpose::kTrainable), 4 * 8192U);
  EXPECT_EQ(on(Tier::kDevice, Purpose::kGradients), 4 * 8192U);
  EXPECT_EQ(on(Tier::kPinned, Purpose::kGradients), 4 * 4096U);
  EXPECT_EQ(on(Tier::kDevice, Purpose::kOptimizer), 0U);
  EXPECT_EQ(on(Tier::kPinned, Purpose::kOptimizer), 2 * 4 * 8192U);
  EXPECT_EQ(store.trainable(0).state.data, nullptr);
}

TEST(KeptParameters, PutMastersBackWhereverTheyRest) {
  const std::vector<UnitSpec> units{unit_of("a", 1024, 5000), unit_of("b", 1024, 3)};
  CpuDevice device({});
  SingleRendezvous rendezvous;
  const auto comm = rendezvous.make_communicator(device, "gathers");
  ParamStore store(device, 0, 1, units,
                   std::vector<UnitResidence>{{.frozen = {}}, {{}, Tier::kPinned, Tier::kPinned, Tier::kPinned}});
  const std::vector<float> kept(5000, 1.5F), later(5000, -2.0F);
  for (std::size_t u = 0; u < units.size(); ++u) store.set_trainable(u, kept.data());
  KeptParameters parameters(device, store);
  parameters.keep();
  for (std::size_t u = 0; u < units.size(); ++u) store.set_trainable(u, later.data());
  for (const std::vector<float>& there : {later, kept}) {
    for (std::size_t u = 0; u < units.size(); ++u) {
      const Buffer gathered = store.gather_trainable(u, 0, *comm);
      const auto count = static_cast<std::size_t>(store.layout(u).trainable_elements());
      const auto* const first = reinterpret_cast<const float*>(gathered.data());
      EXPECT_EQ(std::vector<float>(first, first + count), std::vector<float>(count, there[0])) << u;
    }
    parameters.restore();
  }
}

// What is gathered is as long on every rank, and read as it lies, so the last ranks have room for what they lack.
TEST(ParamStore, HasRoomForAShareOfTheSameLengthOnEveryRank) {
  const std::vector<UnitSpec> units{unit_of("a", 3 * 1024 - 1, 3 * 4096 + 1), unit_of("b", 1, 5)};
  for (const Sharding sharding : {Sharding::kSharded, Sharding::kReplicated})
    for (int rank = 0; rank < 3; ++rank) {
      CpuDevice device({});
      const ParamStore store(device, rank, 3, units, Residence{Tier::kDevice, sharding});
      EXPECT_EQ(store.frozen_cuts(0), (std::vector<std::size_t>{0, 4096, 8192, 12288}));
      EXPECT_EQ(store.frozen_cuts(1), (std::vector<std::size_t>{0, 4096, 4096, 4096}));
      EXPECT_EQ(store.element_cuts(0), (std::vector<std::size_t>{0, 8192, 12289, 12289}));
      EXPECT_EQ(store.element_share(0), 8192U);
      const auto bytes = [&](Purpose purpose) {
        return device.memory(Tier::kDevice).now[static_cast<std::size_t>(purpose)];
      };
      EXPECT_EQ(bytes(Purpose::kFrozen), (sharding == Sharding::kSharded ? 1U : 3U) * 2 * 4096) << rank;
      EXPECT_EQ(bytes(Purpose::kTrainable), 8192 * sizeof(float) + 4096) << rank;
    }
}

}  // namespace
}  // namespace shardlora
