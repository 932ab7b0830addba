// What all attention kernels share. A micro-batch is one run of rows, cut into tiles of a fixed number of rows wherever
// its samples begin: the grid follows from the shapes alone, and `bounds` stays on the device. Every row looks up its
// sample by bisection, and from that which columns of the score matrix it sees: an interval, so one test serves
// causality, samples that meet inside a tile, and the rows behind the last.
#pragma once

#include "backend/cuda/device_code.h"
#include "backend/cuda/vector.h"
#include "backend/ops.h"

namespace shardlora::cuda {

struct AttentionSizes {
  int rows, samples, heads, groups, d;
  float scale;
};

inline AttentionSizes attention_sizes(ConstTensor q, ConstTensor k, ConstTensor bounds, float scale) {
  return {static_cast<int>(q.dim(0)), static_cast<int>(bounds.dim(0)) - 1, static_cast<int>(q.dim(1)),
          static_cast<int>(k.dim(1)), static_cast<int>(q.dim(2)),          scale};
}

// Rows of heads are read and written 16 bytes at a time.
template <typename... Tensors>
void check_rows(const Tensors&... rows) {
  CHECK(aligned(rows.data...), "attention on a GPU takes rows that lie at multiples of 16 bytes");
}

inline constexpr float kLog2OfE = 1.44269504F, kLnOf2 = 0.693147181F;
inline constexpr float kMinusInfinity = -__builtin_huge_valf();

struct SampleRows {
  int index, begin, end;
};

__device__ __forceinline__ SampleRows sample_of(int row, const int* bounds, int samples) {
  int low = 0, high = samples;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (bounds[middle] <= row ? low : high) = middle;
  }
  device_check(bounds[low] <= row && row < bounds[high]);
  return {low, bounds[low], bounds[high]};
}

// Whose rows run down the score matrix: a query sees the keys of its sample up to itself, a key is seen by the queries
// of its sample from itself on.
enum class Down { kQueries, kKeys };

struct Interval {
  int first, last;
};

// The columns that matter to `row`; none behind the last row.
template <Down kDown>
__device__ __forceinline__ Interval columns_of(int row, const int* bounds, const AttentionSizes& z) {
  if (row >= z.rows) return {0x7fffffff, -1};
  const SampleRows sample = sample_of(row, bounds, z.samples);
  if constexpr (kDown == Down::kQueries) return {sample.begin, row};
  return {row, sample.end - 1};
}

// The columns that matter to any row of [first, first + rows) of the micro-batch.
template <Down kDown>
__device__ __forceinline__ Interval columns_of_tile(int first, int rows, const int* bounds, const AttentionSizes& z) {
  const int last = min(first + rows, z.rows) - 1;
  return {columns_of<kDown>(first, bounds, z).first, columns_of<kDown>(last, bounds, z).last};
}

// Tiles with the longest way to go start first.
template <Down kDown>
__device__ __forceinline__ int first_row_of_block(int rows) {
  return static_cast<int>(kDown == Down::kQueries ? gridDim.y - 1 - blockIdx.y : blockIdx.y) * rows;
}

// Eight values that lie at a multiple of 16 bytes.
template <typename T>
__device__ __forceinline__ void load_8(float (&x)[8], const T* from) {
  if constexpr (sizeof(T) == 4) {
    const auto a = *reinterpret_cast<const float4*>(from), b = *reinterpret_cast<const float4*>(from + 4);
    x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w, x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
  } else {
    const auto packed = *reinterpret_cast<const uint4*>(from);
    const unsigned pairs[4] = {packed.x, packed.y, packed.z, packed.w};
    for (int i = 0; i < 8; ++i)
      x[i] = as_float(T{static_cast<std::uint16_t>(i % 2 == 0 ? pairs[i / 2] : pairs[i / 2] >> 16)});
  }
}

__device__ __forceinline__ float warp_max(float x) {
  for (int offset = 16; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffU, x, offset));
  return x;
}

__device__ __forceinline__ float warp_sum(float x) {
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffU, x, offset);
  return x;
}

}  // namespace shardlora::cuda
