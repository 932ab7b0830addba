#include "backend/arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <thread>
#include <vector>

#include "backend/cpu/cpu_device.h"
#include "base/error.h"

namespace shardlora {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
std::size_t at(Purpose purpose) { return static_cast<std::size_t>(purpose); }

TEST(Arena, CountsWholePagesByPurposeAndKeepsThePeaks) {
  Arena arena(Tier::kDevice, 0, std::make_unique<HostMemory>(false));
  {
    const Buffer a = arena.allocate(4097, Purpose::kFrozen);
    const Buffer b = arena.allocate(3 * kMiB, Purpose::kLive);
    EXPECT_EQ(a.bytes(), 4097U);
    EXPECT_EQ(arena.use().now[at(Purpose::kFrozen)], 8192U);
    EXPECT_EQ(arena.use().total_now, 8192 + 3 * kMiB);
  }
  EXPECT_EQ(arena.use().total_now, 0U);
  EXPECT_EQ(arena.use().peak[at(Purpose::kLive)], 3 * kMiB);
  EXPECT_EQ(arena.use().total_peak, 8192 + 3 * kMiB);
  EXPECT_EQ(arena.use().allocations, 2U);
}

TEST(Arena, GivesAlignedMemoryThatCanBeWrittenToItsLastByte) {
  Arena arena(Tier::kPinned, 0, std::make_unique<HostMemory>(false));
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{4096}, kMiB, 2 * kMiB, 2 * kMiB + 1, 9 * kMiB + 4095}) {
    const Buffer buffer = arena.allocate(bytes, Purpose::kWorkspace);
    const auto address = reinterpret_cast<std::uintptr_t>(buffer.data());
    EXPECT_EQ(address % (bytes >= 2 * kMiB ? 2 * kMiB : 4096), 0U) << bytes;
    for (std::size_t i = 0; i < bytes; i += 512) buffer.data()[i] = std::byte{1};
    buffer.data()[bytes - 1] = std::byte{2};
  }
  EXPECT_EQ(arena.use().total_now, 0U);
}

TEST(Arena, GivesAnEmptyBufferForNoBytes) {
  Arena arena(Tier::kDevice, 4096, std::make_unique<HostMemory>(false));
  EXPECT_EQ(arena.allocate(0, Purpose::kHead).data(), nullptr);
  EXPECT_EQ(arena.use().allocations, 0U);
}

TEST(Arena, RefusesWhatDoesNotFitAndSaysWhoHoldsTheRest) {
  Arena arena(Tier::kDevice, 64 * kMiB, std::make_unique<HostMemory>(false));
  const Buffer frozen = arena.allocate(20 * kMiB, Purpose::kFrozen);
  {
    const Buffer gone = arena.allocate(30 * kMiB, Purpose::kLive);
  }
  try {
    const Buffer big = arena.allocate(120 * kMiB, Purpose::kLayerInputs);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(
        error.what(),
        "out of device memory: need 120.0 MiB more for layer_inputs, 44.0 of 64.0 MiB free; in use: frozen 20.0 MiB, "
        "live 0.0 MiB (peak 30.0); raise memory.device_limit, or lower micro_batch_size or sequence_len");
  }
  EXPECT_EQ(arena.use().total_now, 20 * kMiB);                           // a refused call leaves nothing behind
  const Buffer rest = arena.allocate(44 * kMiB, Purpose::kLayerInputs);  // the limit itself may be reached
  EXPECT_EQ(arena.use().total_now, 64 * kMiB);
}

TEST(Arena, FreshMemoryReadsAsNaNWhenPoisoned) {
  Arena arena(Tier::kDevice, 0, std::make_unique<HostMemory>(true));
  for (const std::size_t bytes : {std::size_t{4096}, 4 * kMiB}) {
    const Buffer buffer = arena.allocate(bytes, Purpose::kLive);
    EXPECT_TRUE(std::isnan(reinterpret_cast<const float*>(buffer.data())[bytes / 4 - 1]));
  }
}

TEST(Arena, CountsRightFromManyThreads) {
  Arena arena(Tier::kDevice, 64 * kMiB, std::make_unique<HostMemory>(false));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&arena] {
      for (int i = 0; i < 200; ++i) {
        const Buffer buffer = arena.allocate(8192, Purpose::kCommunication);
        buffer.data()[0] = std::byte{1};
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(arena.use().total_now, 0U);
  EXPECT_EQ(arena.use().allocations, 800U);
}

class Scarce final : public MemorySource {
 public:
  std::byte* take(std::size_t bytes) override {
    ++taken;
    return all_.take(bytes);
  }
  void give_back(std::byte* data, std::size_t bytes) noexcept override { all_.give_back(data, bytes); }
  std::size_t available() const override { return 8 * kMiB; }
  std::string exhausted() const override { return "nothing is left"; }
  int taken = 0;

 private:
  HostMemory all_{false};
};

TEST(Arena, OnlyCountsWhereItIsToldTo) {
  auto scarce = std::make_unique<Scarce>();
  const Scarce& source = *scarce;
  Arena arena(Tier::kDevice, 9 * kMiB, std::move(scarce));
  Buffer before = arena.allocate(2 * kMiB, Purpose::kFrozen);
  arena.count_only(true);
  {
    const Buffer counted = arena.allocate(6 * kMiB, Purpose::kLive);
    EXPECT_EQ(arena.use().total_now, 8 * kMiB);
    EXPECT_THROW(arena.allocate(2 * kMiB, Purpose::kLive), OutOfMemory) << "the limit holds";
    before = Buffer();
    EXPECT_THROW(arena.allocate(3 * kMiB, Purpose::kLive), OutOfMemory) << "the source's own bounds, too";
    EXPECT_EQ(arena.allocate(2 * kMiB, Purpose::kLive).bytes(), 2 * kMiB);
  }
  arena.count_only(false);
  EXPECT_EQ(source.taken, 1);
  EXPECT_EQ(arena.use().total_now, 0U);
  arena.allocate(kMiB, Purpose::kLive).data()[0] = std::byte{1};
}

TEST(CpuDevice, HasALimitForEachTier) {
  CpuDevice device({.threads = 1, .device_limit = 2 * kMiB, .host_limit = 4 * kMiB});
  const Buffer host = device.allocate(3 * kMiB, Tier::kPinned, Purpose::kFrozen);
  EXPECT_THROW(device.allocate(3 * kMiB, Tier::kDevice, Purpose::kFrozen), Error);
  EXPECT_EQ(device.memory(Tier::kPinned).total_now, 3 * kMiB);
  EXPECT_EQ(device.memory(Tier::kDevice).total_now, 0U);
}

TEST(CpuDevice, PoisonReadsAsNaN) {
  CpuDevice device({.threads = 1});
  const Buffer buffer = device.allocate(64, Tier::kDevice, Purpose::kStreaming);
  const auto stream = device.make_stream("poison");
  device.poison(buffer.data(), 64, *stream);
  stream->synchronize();
  EXPECT_TRUE(std::isnan(*reinterpret_cast<const float*>(buffer.data())));
  EXPECT_TRUE(std::isnan(to_float(*reinterpret_cast<const BF16*>(buffer.data()))));
}

TEST(CpuDevice, SaysWhatItIs) {
  EXPECT_THAT(CpuDevice({.threads = 1}).description(), testing::StartsWith("CPU: 1 thread"));
}

}  // namespace
}  // namespace shardlora
