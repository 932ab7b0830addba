// The laws of the emulation: kernels compute, streams run late, devices are apart.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <numeric>
#include <thread>
#include <vector>

#include "emulation_fixture.h"

namespace emulation_test {
namespace {

using ::testing::HasSubstr;

TEST_F(Emulation, RunsEveryThreadOfEveryBlock) {
  const auto x = counted(1000);
  float *from = on_device(x), *to = on_device<float>(1000);
  ASSERT_EQ(launch(kDoubled, 8, 128, 0, to, from, 1000), cudaSuccess);
  const auto y = read(to, 1000);
  for (std::size_t i = 0; i < 1000; ++i) ASSERT_EQ(y[i], 2 * x[i]);
}

TEST_F(Emulation, SumsByShufflesAndThroughSharedMemory) {
  const auto x = counted(3 * 500);
  float *from = on_device(x), *to = on_device<float>(3);
  ASSERT_EQ(launch(kBlockSums, 3, 256, 0, to, from, 500), cudaSuccess);
  const auto y = read(to, 3);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(y[i], std::accumulate(x.begin() + 500 * static_cast<long>(i), x.begin() + 500 * static_cast<long>(i + 1),
                                    0.0F));
}

TEST_F(Emulation, GivesEveryLaneWhatTheWarpFunctionsPromise) {
  int* to = on_device<int>(64 * 8);
  ASSERT_EQ(outcome(kWarpFunctions, 1, 64, 0, to), cudaSuccess) << emulation::failure();
  const auto y = read(to, 64 * 8);
  for (int t = 0; t < 64; ++t) {
    const int warp = t / 32 * 32, lane = t % 32;
    const std::vector<int> expected{warp + 5,
                                    warp + (lane ^ 3),
                                    lane < 28 ? t + 4 : t,
                                    lane % 8 >= 4 ? t - 4 : t,
                                    0x49249249,
                                    1,
                                    warp + (lane < 16 ? 1 : 17),
                                    warp + 9};
    EXPECT_EQ(std::vector<int>(y.begin() + 8 * t, y.begin() + 8 * t + 8), expected) << "thread " << t;
  }
}

template <typename T>
std::vector<T> random_numbers(std::size_t n, unsigned seed) {
  std::vector<T> values(n);
  for (auto& each : values) {
    seed = seed * 1664525U + 1013904223U;
    each = shardlora::from_float<T>(static_cast<float>(seed >> 20) / 2048.0F - 1.0F);
  }
  return values;
}

template <typename T>
void expect_product(const std::vector<T>& a, const std::vector<T>& b, const std::vector<float>& d) {
  for (std::size_t row = 0; row < 16; ++row)
    for (std::size_t column = 0; column < 8; ++column) {
      double sum = 0;
      for (std::size_t k = 0; k < 16; ++k)
        sum += static_cast<double>(to_float(a[row * 16 + k])) * static_cast<double>(to_float(b[k * 8 + column]));
      EXPECT_NEAR(d[row * 8 + column], sum, 16 * 16 * 0x1p-24);  // 16 sums, each below 16
    }
}

TEST_F(Emulation, MultipliesFragmentsLikeATensorCore) {
  float* d = on_device<float>(128);
  const auto a = random_numbers<BF16>(256, 1), b = random_numbers<BF16>(128, 2);
  ASSERT_EQ(outcome(kProductBF16, 1, 32, 0, d, on_device(a), on_device(b)), cudaSuccess) << emulation::failure();
  expect_product(a, b, read(d, 128));
  const auto half_a = random_numbers<F16>(256, 3), half_b = random_numbers<F16>(128, 4);
  ASSERT_EQ(outcome(kProductF16, 1, 32, 0, d, on_device(half_a), on_device(half_b)), cudaSuccess);
  expect_product(half_a, half_b, read(d, 128));
}

TEST_F(Emulation, LoadsMatricesForTensorCores) {
  std::vector<unsigned short> x(256);
  std::iota(x.begin(), x.end(), static_cast<unsigned short>(0));
  auto* to = on_device<unsigned>(256);
  ASSERT_EQ(outcome(kMatrices, 1, 32, 0, to, on_device(x)), cudaSuccess) << emulation::failure();
  const auto y = read(to, 256);
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned m = 0; m < 4; ++m) {
      const unsigned row = lane / 4, column = 2 * (lane % 4), start = 64 * m;
      EXPECT_EQ(y[lane * 8 + m], (start + row * 8 + column) | (start + row * 8 + column + 1) << 16);
      EXPECT_EQ(y[lane * 8 + 4 + m], (start + column * 8 + row) | (start + (column + 1) * 8 + row) << 16);
    }
}

TEST_F(Emulation, CopiesBehindAThreadsBackOnlyForThoseWhoWait) {
  const auto x = counted(128);
  float *from = on_device(x), *to = on_device<float>(128);
  ASSERT_EQ(outcome(kCopied, 1, 32, 512, to, from), cudaSuccess) << emulation::failure();
  auto y = read(to, 128);
  for (std::size_t i = 0; i < 128; ++i) EXPECT_EQ(y[i], i < 124 ? x[i] : 0);
  ASSERT_EQ(outcome(kCopiedWithoutWait, 1, 32, 512, to, from), cudaSuccess) << emulation::failure();
  EXPECT_TRUE(std::ranges::all_of(read(to, 128), [](float each) { return std::isnan(each); }));
}

TEST_F(Emulation, ShufflesTheOrderOfThreadsBySeed) {
  unsigned* counter = on_device(std::vector<unsigned>{0});
  int* to = on_device<int>(256);
  const auto order = [&](unsigned seed) {
    emulation::set_seed(seed);
    cudaMemsetAsync(counter, 0, 4, stream_);
    EXPECT_EQ(launch(kArrivals, 1, 256, 0, to, counter), cudaSuccess);
    return read(to, 256);
  };
  const auto first = order(1);
  EXPECT_EQ(first, order(1));
  EXPECT_NE(first, order(2));
  auto sorted = first;
  std::sort(sorted.begin(), sorted.end());
  for (int i = 0; i < 256; ++i) ASSERT_EQ(sorted[static_cast<std::size_t>(i)], i);
}

TEST_F(Emulation, FindsPointersInsideParameters) {
  Pointers p{10, on_device(counted(10)), on_device<float>(10)};
  ASSERT_EQ(launch(kThroughStruct, 1, 32, 0, p), cudaSuccess);
  EXPECT_EQ(read(p.y, 10)[9], 10);
}

TEST_F(Emulation, SetsMemoryLaterWhereNoStreamIsNamed) {
  float* data = on_device<float>(1);
  bool late = false;
  for (int value = 1; value < 100 && !late; ++value) {
    const float before = read(data, 1)[0];
    EXPECT_EQ(cudaMemset(data, value, 4), cudaSuccess);
    const float at_once = read(data, 1)[0];
    late = std::memcmp(&at_once, &before, 4) == 0;
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    const float then = read(data, 1)[0];
    EXPECT_NE(std::memcmp(&then, &before, 4), 0);
  }
  EXPECT_TRUE(late);
}

TEST_F(Emulation, ReadsPageableMemoryAtOnceAndPinnedMemoryLater) {
  void* pinned = nullptr;
  ASSERT_EQ(cudaHostAlloc(&pinned, 4, cudaHostAllocDefault), cudaSuccess);
  float pageable = 1;
  float* to = on_device<float>(1);
  for (float* from : {&pageable, static_cast<float*>(pinned)}) {
    emulation::dawdle(stream_, 10000);
    *from = 1;
    cudaMemcpyAsync(to, from, 4, cudaMemcpyDefault, stream_);
    *from = 2;
    EXPECT_EQ(read(to, 1)[0], from == &pageable ? 1 : 2);
  }
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(Emulation, HasTheHostWaitWhereTheLaunchQueueIsFull) {
  std::promise<void> gate;
  const auto wait_for_gate = [](void* opened) { static_cast<std::promise<void>*>(opened)->get_future().wait(); };
  float* const data = on_device<float>(1);
  ASSERT_EQ(cudaLaunchHostFunc(stream_, wait_for_gate, &gate), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(data, 0, 4, stream_), cudaSuccess);
  for (int i = 1; i < 1024; ++i) ASSERT_EQ(launch(kCheckIndex, 1, 1, 0, 1), cudaSuccess);
  auto one_more = std::async(std::launch::async, [&] { return launch(kCheckIndex, 1, 1, 0, 1); });
  EXPECT_EQ(one_more.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  gate.set_value();
  EXPECT_EQ(one_more.get(), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
}

TEST_F(Emulation, KeepsDevicesApart) {
  float* here = on_device<float>(1);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  float* there = on_device<float>(1);
  EXPECT_EQ(launch(kReadAt, 1, 1, 0, here, here, 0), cudaErrorInvalidResourceHandle);  // a stream of device 0
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(outcome(kReadAt, 1, 1, 0, here, there, 0), cudaErrorIllegalAddress);
  EXPECT_THAT(emulation::failure(), HasSubstr("memory of another device"));
  void* data = nullptr;
  EXPECT_EQ(cudaMalloc(&data, 4), cudaErrorIllegalAddress);
  ASSERT_EQ(cudaSetDevice(0), cudaErrorIllegalAddress);
  emulation::reset();
  EXPECT_EQ(outcome(kCheckIndex, 1, 32, 0, 0), cudaErrorLaunchFailure);
  EXPECT_EQ(emulation::failure(1), "");
}

TEST_F(Emulation, HasAThreadThatChoseNoDeviceWorkOnDevice0) {
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  emulation::fail_no_call();  // forgets what the fixture called
  cudaStream_t there = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&there, cudaStreamNonBlocking), cudaSuccess);
  const auto launched_on = [&](cudaStream_t stream) {
    std::swap(stream_, stream);
    const cudaError_t error = launch(kCheckIndex, 1, 32, 0, 32);
    std::swap(stream_, stream);
    return error;
  };
  EXPECT_EQ(launched_on(there), cudaSuccess);
  EXPECT_EQ(emulation::calls_without_device(), "");
  std::thread([&] {
    EXPECT_EQ(emulation::device_of_memory(on_device<float>(1)), 0);
    EXPECT_EQ(launched_on(there), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(launched_on(stream_), cudaSuccess);
  }).join();
  EXPECT_EQ(emulation::calls_without_device(), "cudaLaunchKernel, cudaMalloc");
  EXPECT_EQ(cudaStreamDestroy(there), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
}

TEST_F(Emulation, CountsTheMemoryOfADevice) {
  std::size_t before = 0, after = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&before, &total), cudaSuccess);
  on_device<char>(1);
  on_device<char>((2 << 20) + 1);
  ASSERT_EQ(cudaMemGetInfo(&after, &total), cudaSuccess);
  EXPECT_EQ(before - after, 6 << 20) << "whole pieces of 2 MiB";
  void* data = nullptr;
  EXPECT_EQ(cudaMalloc(&data, total), cudaErrorMemoryAllocation);
  EXPECT_EQ(data, nullptr);
}

void tell_machine() {
  int count = -1, major = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  std::fprintf(stderr, "status %d, %d devices, major %d", status, count, major);
  std::exit(3);
}

// A new process reads its environment.
void expect_machine(const char* name, const char* value, const char* expected) {
  setenv(name, value, 1);
  EXPECT_EXIT(tell_machine(), ::testing::ExitedWithCode(3), expected);
  unsetenv(name);
}

TEST(EmulatedMachine, IsWhatTheEnvironmentSays) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  expect_machine("EMULATED_CUDA_DEVICES", "0", "status 100, 0 devices");
  setenv("EMULATED_CUDA_DEVICES", "2", 1);
  expect_machine("EMULATED_CUDA_DRIVER", "11040", "status 35, 0 devices");
  expect_machine("EMULATED_CUDA_FAIL", "cudaGetDeviceCount:1:46", "status 46, 0 devices");
  expect_machine("EMULATED_CUDA_CAPABILITY", "7.5", "status 0, 2 devices, major 7");
}

TEST_F(Emulation, FailsTheCallThatATestNames) {
  emulation::fail_call("cudaMalloc", 2, cudaErrorMemoryAllocation);
  on_device<float>(1);
  void* data = nullptr;
  EXPECT_EQ(cudaMalloc(&data, 4), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  on_device<float>(1);
  EXPECT_EQ(emulation::calls_of("cudaMalloc"), 3);
}

}  // namespace
}  // namespace emulation_test
