// Attention's tiles in f32 on CUDA cores. A warp has a few rows of its own; lane l computes their scores with row l of
// a tile of 32 rows across, and sums columns l, l + 32, ... of their outputs.
#pragma once

#include "backend/cuda/attention_rows.h"

namespace shardlora::cuda {

inline constexpr int kPlainThreads = 128, kPlainWarps = kPlainThreads / 32, kPlainAcross = 32;

// Rows of D floats in chunks of 4, stored crosswise: 8 rows of one column of chunks lie in 8 different groups of banks.
template <int D>
struct PlainTile {
  static constexpr int kChunks = D / 4;
  static_assert(kChunks % 8 == 0);
  __device__ __forceinline__ float4* chunk(int row, int index) const {
    return reinterpret_cast<float4*>(data + row * D + (index ^ (row & 7)) * 4);
  }
  __device__ __forceinline__ float at(int row, int column) const {
    return data[row * D + ((column / 4) ^ (row & 7)) * 4 + column % 4];
  }
  float* data;
};

// Copies `rows` rows of d values that lie `stride` values apart; what is missing up to (count, D) becomes zero.
template <int D>
__device__ __forceinline__ void load_plain(PlainTile<D> tile, int count, const float* from, std::int64_t stride,
                                           int rows, int d) {
  constexpr int kChunks = PlainTile<D>::kChunks;
  for (int i = static_cast<int>(threadIdx.x); i < count * kChunks; i += kPlainThreads) {
    const int row = i / kChunks, index = i % kChunks;
    float4 value = make_float4(0.0F, 0.0F, 0.0F, 0.0F);
    if (row < rows && index * 4 < d) value = *reinterpret_cast<const float4*>(from + row * stride + index * 4);
    *tile.chunk(row, index) = value;
  }
}

// s[r] = row `row` + r of `own` times row `lane` of `across`.
template <int kRows, int D>
__device__ __forceinline__ void plain_scores(float (&s)[kRows], PlainTile<D> own, int row, PlainTile<D> across) {
  for (float& score : s) score = 0.0F;
#pragma unroll 2
  for (int i = 0; i < D / 4; ++i) {
    const float4 b = *across.chunk(static_cast<int>(threadIdx.x) % 32, i);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float4 a = *own.chunk(row + r, i);
      s[r] += a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
    }
  }
}

// sums[r][c] += row r of p times column lane + 32 c of `across`, where lane l has p's column l. `shared`: the warp's
// own kRows * 32 floats.
template <int kRows, int D>
__device__ __forceinline__ void add_plain(float (&sums)[kRows][D / 32], const float (&p)[kRows], float* shared,
                                          PlainTile<D> across) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  __syncwarp();
#pragma unroll
  for (int r = 0; r < kRows; ++r) shared[r * 32 + lane] = p[r];
  __syncwarp();
#pragma unroll 1
  for (int j = 0; j < 32; j += 4) {
    float of[kRows][4];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float4 four = *reinterpret_cast<const float4*>(shared + r * 32 + j);
      of[r][0] = four.x, of[r][1] = four.y, of[r][2] = four.z, of[r][3] = four.w;
    }
#pragma unroll
    for (int c = 0; c < D / 32; ++c)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float value = across.at(j + i, lane + 32 * c);
#pragma unroll
        for (int r = 0; r < kRows; ++r) sums[r][c] += of[r][i] * value;
      }
  }
}

// Writes the warp's rows from `row` on. `to` is row 0.
template <int kRows, int kColumns>
__device__ __forceinline__ void store_plain(float* to, std::int64_t stride, int row, int rows, int d,
                                            const float (&x)[kRows][kColumns], const float (&factors)[kRows]) {
#pragma unroll
  for (int r = 0; r < kRows; ++r)
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int column = static_cast<int>(threadIdx.x) % 32 + 32 * c;
      if (row + r < rows && column < d) to[(row + r) * stride + column] = x[r][c] * factors[r];
    }
}

}  // namespace shardlora::cuda
