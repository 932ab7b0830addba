// Planted bugs of every kind that the emulation has to find.
#include <gmock/gmock.h>

#include <cmath>
#include <utility>
#include <vector>

#include "emulation_fixture.h"

namespace emulation_test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(Emulation, FindsAMissingBarrier) {
  const auto x = counted(64 * 64);
  float *from = on_device(x), *to = on_device<float>(64 * 64);
  const auto right = [&](auto kernel) {
    EXPECT_EQ(launch(kernel, dim3(2, 2), dim3(32, 8), 0, to, from, 64), cudaSuccess);
    const auto y = read(to, 64 * 64);
    for (std::size_t i = 0; i < 64; ++i)
      for (std::size_t j = 0; j < 64; ++j)
        if (y[j * 64 + i] != x[i * 64 + j]) return false;
    return true;
  };
  for (unsigned seed = 1; seed < 20; ++seed) {
    emulation::set_seed(seed);
    EXPECT_TRUE(right(kTransposed));
    EXPECT_FALSE(right(kTransposedWithoutBarrier));
  }
}

TEST_F(Emulation, FindsThreadsThatMissABarrier) {
  EXPECT_EQ(outcome(kBarrierForHalf, 1, 64, 0), cudaErrorLaunchFailure);
  EXPECT_THAT(emulation::failure(),
              AllOf(HasSubstr("barrier_for_half"), HasSubstr("deadlock"), HasSubstr("threads 0 to 31"),
                    HasSubstr("__syncthreads at kernels.cu"), HasSubstr("threads 32 to 63"), HasSubstr("ended")));
}

TEST_F(Emulation, FindsDivergentBarriers) {
  EXPECT_EQ(outcome(kBarriersOfTwoKinds, 1, 64, 0), cudaErrorLaunchFailure);
  EXPECT_THAT(emulation::failure(), AllOf(HasSubstr("barriers_of_two_kinds"), HasSubstr("divergent barrier")));
}

TEST_F(Emulation, FindsLanesThatMissAShuffle) {
  EXPECT_EQ(outcome(kShuffleForHalf, 1, 32, 0, on_device<int>(32)), cudaErrorLaunchFailure);
  EXPECT_THAT(emulation::failure(), AllOf(HasSubstr("shuffle_for_half"), HasSubstr("__shfl_sync")));
}

TEST_F(Emulation, FindsOverrunsOfDynamicSharedMemory) {
  EXPECT_EQ(outcome(kSharedOverrun, 1, 32, 64, 63), cudaSuccess);
  for (const auto& [bytes, at] : {std::pair{64U, 64}, {64U, 4000}, {60U, 60}, {4096U, 4096}, {64U, -1}, {0U, 0}}) {
    EXPECT_EQ(outcome(kSharedOverrun, 1, 32, bytes, at), cudaErrorIllegalAddress) << bytes << " " << at;
    EXPECT_THAT(emulation::failure(), AllOf(HasSubstr("shared_overrun"), HasSubstr("dynamic shared memory")));
    emulation::reset();
  }
}

TEST_F(Emulation, FindsOverrunsOfStaticSharedMemory) {
  EXPECT_EQ(outcome(kStaticOverrun, 1, 32, 0, on_device<float>(1), 8), cudaErrorIllegalAddress);
  EXPECT_THAT(emulation::failure(), AllOf(HasSubstr("static_overrun"), HasSubstr("kernels.cu"), HasSubstr("index 8")));
}

TEST_F(Emulation, GivesNaNForSharedMemoryThatNobodyWrote) {
  float* to = on_device<float>(64);
  for (const bool dynamic : {false, true}) {
    ASSERT_EQ(outcome(kUnwritten, 1, 64, 256, to, dynamic), cudaSuccess) << emulation::failure();
    const auto y = read(to, 64);
    EXPECT_EQ(y[0], 1);
    for (std::size_t i = 1; i < 64; ++i) EXPECT_TRUE(std::isnan(y[i])) << i;
  }
}

TEST_F(Emulation, FindsVectorLoadsThatAreNotAligned) {
  auto* to = on_device<float4>(1);
  const float* from = on_device(counted(16));
  std::vector<std::pair<void (*)(float4*, const float*), const char*>> kernels{{kFourByReference, "four_by_reference"}};
#ifndef __clang__  // clang looks at references, but not at a whole struct that is copied at once
  kernels.emplace_back(kFourAtOnce, "four_at_once");
#endif
  for (const auto& [kernel, name] : kernels) {
    EXPECT_EQ(outcome(kernel, 1, 1, 0, to, from + 4), cudaSuccess) << emulation::failure();
    EXPECT_EQ(outcome(kernel, 1, 1, 0, to, from + 1), cudaErrorMisalignedAddress) << name;
    EXPECT_THAT(emulation::failure(), AllOf(HasSubstr(name), HasSubstr("misaligned"), HasSubstr("kernels.cu")));
    emulation::reset();
  }
}

TEST_F(Emulation, FindsAnIndexThatItsKernelChecks) {
  EXPECT_EQ(outcome(kCheckIndex, 2, 32, 0, 32), cudaSuccess);
  EXPECT_EQ(outcome(kCheckIndex, 2, 32, 0, 31), cudaErrorLaunchFailure);
  EXPECT_THAT(emulation::failure(),
              AllOf(HasSubstr("check_index"), HasSubstr("thread (31, 0, 0)"), HasSubstr("device_check")));
}

TEST_F(Emulation, FindsReadsOutsideOfAllocations) {
  float *to = on_device<float>(1), *from = on_device<float>(100);
  EXPECT_EQ(outcome(kReadAt, 1, 1, 0, to, from, 99), cudaSuccess);
  EXPECT_EQ(outcome(kReadAt, 1, 1, 0, to, from, 2000), cudaErrorIllegalAddress);
  EXPECT_THAT(emulation::failure(),
              AllOf(HasSubstr("read_at"), HasSubstr("behind the end of an allocation of 400 bytes")));
  emulation::reset();
  std::vector<float> host(4);
  EXPECT_EQ(outcome(kReadAt, 1, 1, 0, to, host.data(), 0), cudaErrorIllegalAddress);
  EXPECT_THAT(emulation::failure(), HasSubstr("host memory"));
  emulation::reset();
  EXPECT_EQ(outcome(kReadAt, 1, 1, 0, to, nullptr, 0), cudaErrorIllegalAddress);
}

TEST_F(Emulation, FindsDivisionsByZero) {
  EXPECT_EQ(outcome(kDivided, 1, 1, 0, on_device<int>(1), 0), cudaErrorLaunchFailure);
  EXPECT_THAT(emulation::failure(), HasSubstr("division by zero"));
}

TEST_F(Emulation, RefusesLaunchesBeyondTheLimits) {
  float *to = on_device<float>(64), *from = on_device<float>(64);
  EXPECT_EQ(launch(kDoubled, 1, 1025, 0, to, from, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(kDoubled, dim3(1, 65536), 1, 0, to, from, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(kDoubled, 0, 1, 0, to, from, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(kBlockSums, 1, 288, 0, to, from, 0), cudaErrorLaunchOutOfResources);
  EXPECT_THAT(cudaGetErrorString(cudaErrorLaunchOutOfResources),
              HasSubstr("288 threads, but its __launch_bounds__ promise 256"));
  EXPECT_EQ(launch(kDoubled, 1, 1, 48 << 10, to, from, 0), cudaSuccess);
  EXPECT_EQ(launch(kBlockSums, 1, 1, 48 << 10, to, from, 0), cudaErrorInvalidValue);  // 32 static bytes beside it
  EXPECT_EQ(launch(kDoubled, 1, 1, (48 << 10) + 1, to, from, 0), cudaErrorInvalidValue);
  const auto* kernel = reinterpret_cast<const void*>(kDoubled);
  EXPECT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (99 << 10) + 1),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 99 << 10), cudaSuccess);
  EXPECT_EQ(launch(kDoubled, 1, 1, 99 << 10, to, from, 0), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
}

TEST_F(Emulation, KeepsAKernelsErrorLikeADevice) {
  EXPECT_EQ(outcome(kCheckIndex, 1, 32, 0, 0), cudaErrorLaunchFailure);
  void* data = nullptr;
  EXPECT_EQ(cudaMalloc(&data, 4), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_THAT(cudaGetErrorString(cudaErrorLaunchFailure),
              AllOf(HasSubstr("unspecified launch failure"), HasSubstr("check_index")));
}

TEST_F(Emulation, DiesWhereHostCodeTouchesDeviceMemory) {
  const float* data = on_device(counted(4));
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(EXPECT_EQ(data[1], 1),
               "host code touches device memory: byte 4 of an allocation of 16 bytes on device 0");
}

TEST_F(Emulation, ShowsAMissingWaitBetweenStreams) {
  cudaStream_t other = nullptr;
  cudaEvent_t copied = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&copied, cudaEventDisableTiming), cudaSuccess);
  const auto x = counted(32);
  float *from = on_device<float>(32), *to = on_device<float>(32);
  for (const bool wait : {false, true}) {
    cudaMemsetAsync(from, 0xFF, 128, stream_);
    cudaStreamSynchronize(stream_);
    emulation::dawdle(other, 100000);
    cudaMemcpyAsync(from, x.data(), 128, cudaMemcpyDefault, other);
    cudaEventRecord(copied, other);
    EXPECT_EQ(cudaEventQuery(copied), cudaErrorNotReady);
    if (wait) cudaStreamWaitEvent(stream_, copied, 0);
    launch(kDoubled, 1, 32, 0, to, from, 32);
    EXPECT_EQ(read(to, 32)[31] == 62, wait);
  }
  EXPECT_EQ(cudaEventSynchronize(copied), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(copied), cudaSuccess);
  cudaEventDestroy(copied);
  cudaStreamDestroy(other);
}

TEST_F(Emulation, FindsUseOfFreedMemory) {
  void* data = nullptr;
  ASSERT_EQ(cudaMalloc(&data, 4), cudaSuccess);
  ASSERT_EQ(cudaFree(data), cudaSuccess);
  EXPECT_EQ(cudaFree(data), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(data, 0, 4, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(outcome(kReadAt, 1, 1, 0, on_device<float>(1), static_cast<float*>(data), 0), cudaErrorIllegalAddress);
  EXPECT_THAT(emulation::failure(), HasSubstr("outside of every allocation"));
}

}  // namespace
}  // namespace emulation_test
