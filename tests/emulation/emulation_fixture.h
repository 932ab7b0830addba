// A stream, and numbers on an emulated device: what the tests of the emulation start from.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>
#include <vector>

#include "emulation/kernels.h"
#include "emulation/runtime.h"

namespace emulation_test {

// Before the first call of the runtime reads it.
inline const int kTwoDevices = setenv("EMULATED_CUDA_DEVICES", "2", 0);

class Emulation : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(kTwoDevices, 0);
    emulation::reset();
    emulation::fail_no_call();
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    emulation::reset();
    emulation::fail_no_call();
    for (void* each : owned_) EXPECT_EQ(cudaFree(each), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
  }

  template <typename T>
  T* on_device(std::size_t count) {
    void* data = nullptr;
    EXPECT_EQ(cudaMalloc(&data, count * sizeof(T)), cudaSuccess);
    owned_.push_back(data);
    return static_cast<T*>(data);
  }
  template <typename T>
  T* on_device(const std::vector<T>& values) {
    T* data = on_device<T>(values.size());
    EXPECT_EQ(cudaMemcpyAsync(data, values.data(), values.size() * sizeof(T), cudaMemcpyDefault, stream_), cudaSuccess);
    return data;
  }
  template <typename T>
  std::vector<T> read(const T* data, std::size_t count) {
    std::vector<T> values(count);
    EXPECT_EQ(cudaMemcpyAsync(values.data(), data, count * sizeof(T), cudaMemcpyDefault, stream_), cudaSuccess);
    return values;
  }

  template <typename... Parameters, typename... Arguments>
  cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared, Arguments... arguments) {
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream_;
    return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
  }
  // The error that a kernel ends with.
  template <typename... Arguments>
  cudaError_t outcome(const Arguments&... arguments) {
    const cudaError_t started = launch(arguments...);
    return started != cudaSuccess ? started : cudaStreamSynchronize(stream_);
  }

  static std::vector<float> counted(std::size_t n) {
    std::vector<float> values(n);
    std::iota(values.begin(), values.end(), 0.0F);
    return values;
  }

  cudaStream_t stream_ = nullptr;
  std::vector<void*> owned_;
};

}  // namespace emulation_test
