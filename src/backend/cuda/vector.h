// How kernels walk over values: in runs of 16 bytes where the memory allows it, value by value at an end or where it is
// not aligned. Either way a thread has the same values in the same order, so alignment never shows in the bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "backend/cuda/device_code.h"
#include "backend/cuda/launch.h"

namespace shardlora::cuda {

inline constexpr int kThreads = 256;  // a block of an element-wise kernel

template <typename T, int kCount>
struct alignas(std::min<std::size_t>(16, sizeof(T) * kCount)) Vector {
  T at[kCount];
};

// Values of a run: 16 bytes of the widest of the types.
template <typename... T>
inline constexpr int kWidth = 16 / static_cast<int>(std::max({sizeof(T)...}));

// Whether all of them lie at multiples of 16 bytes.
template <typename... T>
bool aligned(const T*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) | ...) & 15U) == 0;
}

// Up to kCount values from `from`, of which `left` exist; the others read as 0. `vectors`: runs may be read at once.
template <int kCount, typename T>
__device__ __forceinline__ void load(float (&to)[kCount], const T* from, std::int64_t left, bool vectors) {
  if (vectors && left >= kCount) {
    const auto run = *reinterpret_cast<const Vector<T, kCount>*>(from);
#pragma unroll
    for (int k = 0; k < kCount; ++k) to[k] = as_float(run.at[k]);
  } else {
#pragma unroll
    for (int k = 0; k < kCount; ++k) to[k] = k < left ? as_float(from[k]) : 0.0F;
  }
}

// The first `left` of them, each rounded once.
template <int kCount, typename T>
__device__ __forceinline__ void store(T* to, const float (&from)[kCount], std::int64_t left, bool vectors) {
  if (vectors && left >= kCount) {
    Vector<T, kCount> run;
    if constexpr (sizeof(T) == 2) {
#pragma unroll
      for (int k = 0; k < kCount; k += 2) {
        const unsigned two = pack2<T>(from[k], from[k + 1]);
        memcpy(&run.at[k], &two, sizeof two);
      }
    } else {
#pragma unroll
      for (int k = 0; k < kCount; ++k) run.at[k] = from[k];
    }
    *reinterpret_cast<Vector<T, kCount>*>(to) = run;
  } else {
#pragma unroll
    for (int k = 0; k < kCount; ++k)
      if (k < left) to[k] = rounded<T>(from[k]);
  }
}

// The first value of this thread's run of `width`, where threads share out one long line of values.
__device__ __forceinline__ std::int64_t run_begin(int width) {
  return (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * width;
}

// Rows shared out over blocks: each takes `threads` runs of one row, and `parts` of them make a row.
struct RowGrid {
  RowGrid(std::int64_t rows, std::int64_t columns, int width) {
    const std::int64_t runs = (columns + width - 1) / width;
    threads = static_cast<unsigned>(std::min<std::int64_t>(kThreads, (runs + 31) / 32 * 32));
    parts = runs == 0 ? 0 : blocks_for(runs, threads);
    blocks = static_cast<unsigned>(rows * parts);
  }
  unsigned threads, parts, blocks;
};

// Where a thread of a RowGrid works.
struct RowPlace {
  __device__ __forceinline__ RowPlace(unsigned parts, int width)
      : row(blockIdx.x / parts),
        column(static_cast<std::int64_t>(blockIdx.x % parts * blockDim.x + threadIdx.x) * width) {}
  std::int64_t row, column;
};

}  // namespace shardlora::cuda
