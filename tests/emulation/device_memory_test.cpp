// What of a GPU's memory is given out.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/gpu.h"
#include "base/error.h"

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

}  // namespace
}  // namespace shardlora
