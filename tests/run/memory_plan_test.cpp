#include "run/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu/cpu_device.h"

namespace shardlora {
namespace {

// A device and a host with room for so much, and what everything takes: a layer of the base 10 on a rank that holds all
// of it, tables 20, kept activations 3 a layer and micro-batch, without the cheap ones 2, an input of a layer 1, a
// decoded unit 8, a matrix 2, what trains and its optimiser `trained`.
struct Machine {
  double device, host = 0;
  int ranks = 2;
  double trained = 0;

  static double share(const Residence& r, int ranks) { return r.sharding == Sharding::kReplicated ? 1 : 1.0 / ranks; }
  bool holds(const MemoryPlan& plan) const {
    constexpr double kLayers = 8;
    double on_device = plan.decode == Decode::kUnit ? 8 : 2, on_host = 0;
    for (std::size_t u = 0; u < plan.frozen.size(); ++u) {
      const double bytes = (u == 0 ? 20 : 10) * share(plan.frozen[u], ranks);
      if (plan.frozen[u].tier == Tier::kDevice) on_device += bytes;
      if (plan.frozen[u].tier == Tier::kPinned) on_host += bytes;
    }
    const auto wave = static_cast<double>(plan.wave);
    for (const Recompute r : plan.recompute)
      on_device += wave * (r == Recompute::kNo ? 3 : r == Recompute::kCheap ? 2 : 0);
    if (plan.recompute.front() != Recompute::kNo) on_device += 3 * wave;
    if (plan.layer_inputs == Tier::kDevice) on_device += wave * kLayers;
    if (plan.layer_inputs == Tier::kPinned) on_host += wave * kLayers;
    (plan.optimizer == Tier::kDevice ? on_device : on_host) += trained;
    return on_device <= device && on_host <= host;
  }
};

std::optional<std::string> chosen(const Machine& machine, const Recipe& recipe = {}, bool disk = true) {
  const MemoryDemand demand{.units = 9, .layers = 8, .wave = 4, .ranks = machine.ranks, .disk = disk};
  const auto plan = choose_memory(recipe, demand, [&](const MemoryPlan& p) { return machine.holds(p); });
  if (!plan) return std::nullopt;
  EXPECT_TRUE(machine.holds(*plan));
  return memory_text(*plan, demand);
}

TEST(ChooseMemory, GivesUpSpeedOnlyWhereThereIsNoRoomForIt) {
  EXPECT_EQ(chosen({.device = 236}), "base whole on every rank; activations kept");
  EXPECT_EQ(chosen({.device = 235}), "base shared out; activations kept");
  EXPECT_EQ(chosen({.device = 186}), "base shared out; activations kept");
  EXPECT_EQ(chosen({.device = 185}), "base shared out; cheap activations computed again in backward");
  EXPECT_EQ(chosen({.device = 166}), "base shared out; cheap activations computed again in backward");
  EXPECT_EQ(chosen({.device = 165}),
            "base whole on every rank; activations of 7 of 8 layers computed again in backward");
  EXPECT_EQ(chosen({.device = 152}), "base whole on every rank; activations computed again in backward");
  EXPECT_EQ(chosen({.device = 151}), "base shared out; activations of 2 of 8 layers computed again in backward");
  EXPECT_EQ(chosen({.device = 102}), "base shared out; activations computed again in backward");
  EXPECT_EQ(
      chosen({.device = 101, .host = 32}),
      "base shared out; activations of 5 of 8 layers computed again in backward; inputs of layers in host memory");
  EXPECT_EQ(chosen({.device = 69, .host = 32}),
            "base shared out; activations computed again in backward; inputs of layers in host memory; weights decoded "
            "one by one");
}

TEST(ChooseMemory, MovesTheOptimizerBeforeAnyLayer) {
  const std::string how =
      "; activations computed again in backward; inputs of layers in host memory; weights decoded one by one";
  const std::string optimizer = "; what trains and its optimizer state in host memory";
  EXPECT_EQ(chosen({.device = 84, .host = 52, .trained = 20}), "base shared out" + how);
  EXPECT_EQ(
      chosen({.device = 83, .host = 52, .trained = 20}),
      "base shared out; activations of 6 of 8 layers computed again in backward; inputs of layers in host memory; "
      "weights decoded one by one" +
          optimizer);
  EXPECT_EQ(chosen({.device = 64, .host = 52, .trained = 20}), "base shared out" + how + optimizer);
  EXPECT_EQ(chosen({.device = 63, .host = 57, .trained = 20}),
            "base shared out, 1 of 8 layers in host memory" + how + optimizer);
  Recipe recipe;
  recipe.offload_optimizer = Tier::kDevice;
  EXPECT_EQ(chosen({.device = 83, .host = 52, .trained = 20}, recipe),
            "base shared out, 1 of 8 layers in host memory" + how);
  recipe.offload_optimizer = Tier::kPinned;
  EXPECT_EQ(chosen({.device = 1000, .host = 52, .trained = 20}, recipe),
            "base whole on every rank; activations kept" + optimizer);
}

TEST(ChooseMemory, MovesAsFewLayersAsMayBe) {
  // With one matrix decoded at a time 64: shares of 5 a layer, and a table of 10.
  const std::string how =
      "; activations computed again in backward; inputs of layers in host memory; weights decoded one by one; what "
      "trains and its optimizer state in host memory";
  EXPECT_EQ(chosen({.device = 63, .host = 37}), "base shared out, 1 of 8 layers in host memory" + how);
  EXPECT_EQ(chosen({.device = 40, .host = 200}), "base shared out, 5 of 8 layers in host memory" + how);
  EXPECT_EQ(chosen({.device = 40, .host = 42}),
            "base shared out, 2 of 8 layers in host memory, 3 of 8 layers on disk" + how);
  EXPECT_EQ(chosen({.device = 20, .host = 82}), "base shared out in host memory" + how) << "tables go last";
  EXPECT_EQ(chosen({.device = 20, .host = 81}), "base shared out on disk" + how);
  EXPECT_EQ(chosen({.device = 11, .host = 81}), "base shared out in host memory" + how + "; waves of 2 micro-batches");
  EXPECT_EQ(chosen({.device = 104, .host = 42, .ranks = 1}), "base on the device, 1 of 8 layers in host memory" + how);
  EXPECT_EQ(chosen({.device = 20, .host = 132, .ranks = 1}), "base in host memory" + how);
}

TEST(ChooseMemory, TakesTheDiskOnlyWhereItMay) {
  EXPECT_EQ(
      chosen({.device = 40, .host = 42}, {}, false),
      "base shared out, 4 of 8 layers in host memory; activations computed again in backward; inputs of layers "
      "in host memory; weights decoded one by one; what trains and its optimizer state in host memory; waves of 2 "
      "micro-batches");
  EXPECT_EQ(chosen({.device = 4, .host = 1000}), std::nullopt);
}

TEST(ChooseMemory, WritesLayerInputsToDiskOnlyWhereNothingElseIsLeft) {
  const std::string decoded = "; weights decoded one by one; what trains and its optimizer state in host memory";
  EXPECT_EQ(chosen({.device = 10, .host = 16}),
            "base shared out on disk; activations computed again in backward; inputs of layers in host memory" +
                decoded + "; waves of 2 micro-batches");
  EXPECT_EQ(chosen({.device = 10, .host = 7}),
            "base shared out on disk; activations computed again in backward; inputs of layers on disk" + decoded +
                "; waves of 2 micro-batches");
  Recipe recipe;
  recipe.offload_layer_inputs = Tier::kPinned;
  EXPECT_EQ(chosen({.device = 10, .host = 7}, recipe), std::nullopt);
}

TEST(ChooseMemory, LeavesWhatTheRecipeSays) {
  Recipe recipe;
  recipe.sharding = Sharding::kReplicated;
  recipe.gradient_checkpointing = false;
  EXPECT_EQ(chosen({.device = 1000}, recipe), "base whole on every rank; activations kept");
  EXPECT_EQ(chosen({.device = 235, .host = 1000}, recipe),
            "base whole on every rank; activations kept; inputs of layers in host memory");
  recipe = {};
  recipe.gradient_checkpointing = true;
  EXPECT_EQ(chosen({.device = 165}, recipe), "base whole on every rank; activations computed again in backward");
  recipe = {};
  recipe.offload_base = Tier::kDisk;
  EXPECT_EQ(chosen({.device = 1000}, recipe), "base shared out on disk; activations kept");
  recipe.offload_base = Tier::kDevice;
  EXPECT_EQ(chosen({.device = 20, .host = 1000}, recipe), std::nullopt);
  EXPECT_EQ(chosen({.device = 1000, .ranks = 1}), "base on the device; activations kept");
}

UnitSpec unit_of(const std::string& name, std::int64_t megabytes) {
  return {name, {{name + ".w", {megabytes * 250, 1000}, dense_format(DType::kF32)}}};
}

TEST(OffloadText, SaysWhatEveryTokenBringsToTheDevice) {
  const std::vector<UnitSpec> units{unit_of("a", 10), unit_of("b", 20), unit_of("c", 40), unit_of("d", 80)};
  CpuDevice device({});
  const auto text = [&](int ranks, const std::vector<Residence>& frozen) {
    std::vector<UnitResidence> residences;
    for (const Residence& residence : frozen) residences.push_back({.frozen = residence});
    return offload_text(ParamStore(device, 0, ranks, units, residences), {0, 1, 2, 3}, ranks);
  };
  const Residence here{}, host{Tier::kPinned}, disk{Tier::kDisk};
  EXPECT_EQ(text(1, {here, here, here, here}), "");
  EXPECT_EQ(text(2, {here, here, here, here}), "") << "gathers are said elsewhere";
  EXPECT_EQ(text(1, {here, host, here, host}), "every token takes 0.10 GB from host memory");
  EXPECT_EQ(text(1, {here, here, disk, host}), "every token takes 0.08 GB from host memory and 0.04 GB from the disk");
  EXPECT_EQ(text(2, {disk, disk, disk, disk}), "every token takes 0.08 GB from the disk, on each of 2 ranks");
}

TEST(AvailableMemory, IsAllThatRanksOfAMachineTakeWhateverTheirLimitsAllow) {
  CpuDevice device({.device_limit = std::size_t{1} << 40});
  {
    const Buffer frozen = device.allocate(30 << 20, Tier::kDevice, Purpose::kFrozen);
    const Buffer live = device.allocate(10 << 20, Tier::kPinned, Purpose::kLive);
  }
  const MemoryUse on_device = device.memory(Tier::kDevice), on_host = device.memory(Tier::kPinned);
  EXPECT_NO_THROW(check_available(on_device, on_host, 40 << 20, 1));
  EXPECT_NO_THROW(check_available(on_device, on_host, 80 << 20, 2));
  EXPECT_THAT([&] { check_available(on_device, on_host, 79 << 20, 2); },
              testing::ThrowsMessage<OutOfMemory>(testing::AllOf(
                  testing::HasSubstr("79.0 MiB of memory available, and the 2 ranks here need 80.0 MiB"),
                  testing::HasSubstr("frozen 0.0 MiB (peak 30.0)"), testing::HasSubstr("live 0.0 MiB (peak 10.0)"),
                  testing::HasSubstr("lower memory.device_limit"))));
}

}  // namespace
}  // namespace shardlora
