// The language of CUDA kernels for g++: qualifiers, built-in variables, vector types, warp and block functions. Float
// atomics are left out on purpose: sums in an order that changes are against the backend's promise.
#pragma once

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>

#include "emulation/device.h"
#include "emulation/intrinsics.h"
#include "emulation/vector_types.h"
#include "emulation/warp.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))  // g++ takes no alignas behind __shared__
// The tag lets the runtime find these variables in the program's symbols and fill them before each block.
#define __shared__ static thread_local __attribute__((abi_tag("emulated_shared")))
// As many no-ops in front of the function as it may have threads: the launch reads them. sizeof makes a literal of it.
#define __launch_bounds__(threads, ...) \
  __attribute__((patchable_function_entry(sizeof(char[threads]), sizeof(char[threads]))))

inline constexpr int warpSize = 32;

inline void __syncthreads(const std::source_location& where = std::source_location::current()) {
  emulation::block_barrier(where);
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "a kernel's parameters are copied as bytes");
  std::tuple<Parameters...> parameters(static_cast<Parameters>(std::forward<Arguments>(arguments))...);
  const auto prepare = [kernel, parameters](int device) mutable -> std::function<void()> {
    bool usable = true;
    std::apply(
        [&](Parameters&... each) {
          ((usable &= emulation::see_through_views(&each, sizeof each, std::is_pointer_v<Parameters>, device)), ...);
        },
        parameters);
    if (!usable) return {};
    return [kernel, parameters] { std::apply(kernel, parameters); };
  };
  return emulation::launch_kernel(*config, reinterpret_cast<const void*>(kernel), (sizeof(Parameters) + ... + 0),
                                  prepare);
}
