// Sums, maxima and other folds over a warp or a block, always in the same order. Every thread gets the result. All
// threads of the block take part.
#pragma once

#include <cmath>
#include <limits>

#include "backend/cuda/device_code.h"

namespace shardlora::cuda {

inline constexpr unsigned kWholeWarp = 0xFFFFFFFFU;

struct Sum {
  static constexpr float kNone = 0.0F;
  static __device__ __forceinline__ float fold(float a, float b) { return a + b; }
};

// NaN counts only where there is nothing else.
struct Largest {
  static constexpr float kNone = -std::numeric_limits<float>::infinity();
  static __device__ __forceinline__ float fold(float a, float b) { return fmaxf(a, b); }
};

struct LargestBits {
  static constexpr unsigned kNone = 0;
  static __device__ __forceinline__ unsigned fold(unsigned a, unsigned b) { return a > b ? a : b; }
};

struct Smallest {
  static constexpr int kNone = std::numeric_limits<int>::max();
  static __device__ __forceinline__ int fold(int a, int b) { return a < b ? a : b; }
};

// Both halves of an exchange add the same two numbers, so all lanes hold the same bits.
template <typename Fold, typename T>
__device__ __forceinline__ T over_warp(T x) {
#pragma unroll
  for (int lane = 16; lane > 0; lane /= 2) x = Fold::fold(x, __shfl_xor_sync(kWholeWarp, x, lane));
  return x;
}

// The block is a line of whole warps.
template <typename Fold, typename T>
__device__ __forceinline__ T over_block(T x) {
  __shared__ T of_warp[32];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  x = over_warp<Fold>(x);
  if (lane == 0) of_warp[warp] = x;
  __syncthreads();
  x = over_warp<Fold>(lane < warps ? of_warp[lane] : Fold::kNone);
  __syncthreads();  // of_warp may be used again
  return x;
}

}  // namespace shardlora::cuda
