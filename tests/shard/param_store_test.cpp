// Parameters at rest.
#include <gtest/gtest.h>

#include <map>

#include "backend/cpu/cpu_device.h"
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
  const ParamStore store(device, 1, 2, units, {});
  const MemoryUse use = device.memory(Tier::kDevice);
  EXPECT_EQ(use.allocations, 4U);
  std::size_t frozen = 0;
  std::map<const std::byte*, std::size_t> shares;
  for (std::size_t u = 0; u < units.size(); ++u) {
    frozen += store.frozen_share(u);
    const TrainableShare share = store.trainable(u);
    for (const Tensor& t : {share.master, share.gradient, share.m, share.v})
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

}  // namespace
}  // namespace shardlora
