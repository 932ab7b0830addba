// What of a GPU's memory is given out.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "backend/gpu.h"
#include "base/error.h"
#include "emulation/runtime.h"

namespace shardlora {
namespace {

TEST(GpuMemory, KeepsAQuarterOfAGibibyteForCudasLibraries) {
  const std::unique_ptr<Device> device = make_gpu_device({});
  std::size_t free = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  const auto allocate = [&](std::size_t left) {
    return device->allocate(free - left, Tier::kDevice, Purpose::kWorkspace);
  };
  EXPECT_THAT([&] { allocate(std::size_t{200} << 20); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("0.25 GiB are kept for CUDA's libraries")));
  EXPECT_NO_THROW(allocate(std::size_t{300} << 20));
}

TEST(GpuMemory, IsWhatTheCardHasWhateverTheLimitAllows) {
  const std::unique_ptr<Device> device = make_gpu_device({.device_limit = std::size_t{1} << 50});
  EXPECT_THAT([&] { device->allocate(std::size_t{1} << 40, Tier::kDevice, Purpose::kFrozen); },
              testing::ThrowsMessage<OutOfMemory>(testing::ContainsRegex(
                  "^GPU 0 has [0-9.]+ of [0-9.]+ GiB free.*: need 1048576.0 MiB for frozen; in use: ")));
}

// While it lives this process may lock so many bytes.
class LockedMemory {
 public:
  explicit LockedMemory(rlim_t bytes) {
    getrlimit(RLIMIT_MEMLOCK, &before_);
    const rlimit less{bytes, before_.rlim_max};
    setrlimit(RLIMIT_MEMLOCK, &less);
  }
  ~LockedMemory() { setrlimit(RLIMIT_MEMLOCK, &before_); }
  LockedMemory(const LockedMemory&) = delete;
  LockedMemory& operator=(const LockedMemory&) = delete;

 private:
  rlimit before_{};
};

TEST(PinnedMemory, ThatTheDriverRefusesIsToldWithNeedLimitAndPurpose) {
  const std::unique_ptr<Device> device = make_gpu_device({});
  const Buffer held = device->allocate(std::size_t{3} << 20, Tier::kPinned, Purpose::kLayerInputs);
  const LockedMemory limit(64 << 10);
  emulation::fail_no_call();
  emulation::fail_call("cudaHostAlloc", 1, cudaErrorMemoryAllocation);
  std::string told;
  try {
    device->allocate(std::size_t{5} << 20, Tier::kPinned, Purpose::kFrozen);
  } catch (const OutOfMemory& error) {
    told = error.what();
  }
  emulation::fail_no_call();
  EXPECT_THAT(told,
              testing::ContainsRegex("^the driver pins no more host memory \\([0-9]+ MiB are available, ulimit -l "
                                     "is 64 KiB\\): need 5.0 MiB for frozen; in use: layer_inputs 3.0 MiB; raise "
                                     "ulimit -l, .*offload.base: disk"));
  EXPECT_NO_THROW(device->allocate(std::size_t{5} << 20, Tier::kPinned, Purpose::kFrozen));
}

}  // namespace
}  // namespace shardlora
