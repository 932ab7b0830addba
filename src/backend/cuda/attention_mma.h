// Attention's tiles on tensor cores: tiles of 16-bit values in shared memory, products of 16 rows by a warp. The
// fragments are those of mma.m16n8k16: of a product, lane l holds rows l / 4 and l / 4 + 8, columns 2 (l % 4) and one
// more of every 8; as accumulators of one product they are the left operand of the next.
#pragma once

#include "backend/cuda/attention_rows.h"

namespace shardlora::cuda {

inline constexpr int kMmaThreads = 128;

// Turing copies into shared memory through registers, and a wide head leaves none: what it reads comes in lower tiles.
// (The host, which sizes shared memory, sees the larger ones.)
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
inline constexpr bool kCopiesThroughRegisters = true;
#else
inline constexpr bool kCopiesThroughRegisters = false;
#endif

// Rows of D values in chunks of 16 bytes. A row's chunks are stored crosswise inside every 8 (or 4) of them, so that 8
// rows of one column of chunks lie in 8 different groups of banks.
template <typename T, int D>
struct SharedTile {
  static constexpr int kChunks = D / 8, kCross = kChunks % 8 == 0 ? 8 : 4;
  static_assert(kChunks % kCross == 0);
  // Chunk 2 `pair` + `odd`. With a constant pair most of the address is a constant too.
  __device__ __forceinline__ T* chunk(int row, int pair, int odd) const {
    const int cross = kCross == 8 ? row & 7 : row >> 1 & 3;
    return data + row * D + 2 * pair / kCross * kCross * 8 + ((2 * pair % kCross | odd) ^ cross) * 8;
  }
  T* data;
};

// Begins to copy `rows` rows of d values that lie `stride` values apart; what is missing up to (kRows, D) becomes zero.
// A thread copies one column of chunks, every so many-th row: little arithmetic, for there is none to spare.
template <int kRows, typename T, int D>
__device__ __forceinline__ void begin_loading(SharedTile<T, D> tile, const T* from, std::int64_t stride, int rows,
                                              int d) {
  constexpr int kChunks = SharedTile<T, D>::kChunks, kAtOnce = kChunks > 16 ? 4 : kChunks > 8 ? 8 : 16;
  static_assert(kAtOnce * kChunks <= kMmaThreads && kRows % kAtOnce == 0);
  const int first = static_cast<int>(threadIdx.x) / kChunks, index = static_cast<int>(threadIdx.x) % kChunks;
  if (first >= kAtOnce) return;
  from += first * stride + index * 8;
#pragma unroll(kCopiesThroughRegisters ? 1 : 4)
  for (int row = 0; row < kRows; row += kAtOnce, from += kAtOnce * stride)
    copy_16_async(tile.chunk(row + first, index / 2, index % 2), from, row + first < rows && index * 8 < d);
}

// s (16, kRows) = rows a_row .. a_row + 15 of a times the rows of b.
template <int kRows, typename T, int D>
__device__ __forceinline__ void row_products(float (&s)[kRows / 8][4], SharedTile<T, D> a, int a_row,
                                             SharedTile<T, D> b) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (auto& tile : s)
    for (float& value : tile) value = 0.0F;
#pragma unroll 4  // unrolled further, loads run so far ahead that registers spill
  for (int step = 0; step < D / 16; ++step) {
    unsigned left[4];
    load_matrices(left, a.chunk(a_row + lane % 16, step, lane / 16));
#pragma unroll
    for (int j = 0; j < kRows / 16; ++j) {
      unsigned right[4];
      load_matrices(right, b.chunk(j * 16 + lane / 16 * 8 + lane % 8, step, lane / 8 % 2));
      mma_16816<T>(s[2 * j], left, {right[0], right[1]});
      mma_16816<T>(s[2 * j + 1], left, {right[2], right[3]});
    }
  }
}

// out (16, kColumns) += p (16, kRows), rounded to T, times columns `column` .. of b (kRows, D).
template <int kRows, int kColumns, typename T, int D>
__device__ __forceinline__ void add_product(float (&out)[kColumns / 8][4], const float (&p)[kRows / 8][4],
                                            SharedTile<T, D> b, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int step = 0; step < kRows / 16; ++step) {
    const auto &low = p[2 * step], &high = p[2 * step + 1];
    const unsigned left[4] = {pack2<T>(low[0], low[1]), pack2<T>(low[2], low[3]), pack2<T>(high[0], high[1]),
                              pack2<T>(high[2], high[3])};
#pragma unroll
    for (int j = 0; j < kColumns / 16; ++j) {
      unsigned right[4];
      load_matrices_transposed(right, b.chunk(step * 16 + lane % 16, column / 16 + j, lane / 16));
      mma_16816<T>(out[2 * j], left, {right[0], right[1]});
      mma_16816<T>(out[2 * j + 1], left, {right[2], right[3]});
    }
  }
}

// Writes the warp's fragments of 16 rows from `row` on, times a factor for each of the thread's two rows. `to` is row
// 0.
template <typename T, int kTiles>
__device__ __forceinline__ void store_rows(T* to, std::int64_t stride, int row, int rows, int column, int d,
                                           const float (&x)[kTiles][4], float above, float below) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + lane / 4 + half * 8;
    const float factor = half == 0 ? above : below;
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      const int c = column + j * 8 + lane % 4 * 2;
      if (r < rows && c < d)
        *reinterpret_cast<unsigned*>(to + r * stride + c) =
            pack2<T>(x[j][half * 2] * factor, x[j][half * 2 + 1] * factor);
    }
  }
}

// What this thread's two of the warp's 16 rows see.
struct Seen {
  Interval of[2];
};

template <Down kDown>
__device__ __forceinline__ Seen seen_by_thread(int row, const int* bounds, const AttentionSizes& z) {
  const int above = row + static_cast<int>(threadIdx.x) % 32 / 4;
  return {{columns_of<kDown>(above, bounds, z), columns_of<kDown>(above + 8, bounds, z)}};
}

// Whether some row of the warp sees one of columns [begin, begin + count).
__device__ __forceinline__ bool warp_sees(const Seen& seen, int begin, int count) {
  const auto [above, below] = seen.of;
  return __any_sync(0xffffffffU, (begin <= above.last && begin + count > above.first) ||
                                     (begin <= below.last && begin + count > below.first)) != 0;
}

// Scores of columns from `begin` on that a row does not see become minus infinity.
template <int kTiles>
__device__ __forceinline__ void hide_unseen(float (&s)[kTiles][4], const Seen& seen, int begin) {
  const int first = max(seen.of[0].first, seen.of[1].first), last = min(seen.of[0].last, seen.of[1].last);
  if (__all_sync(0xffffffffU, begin >= first && begin + kTiles * 8 - 1 <= last)) return;
  const int column = begin + static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int j = 0; j < kTiles; ++j)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int c = column + j * 8 + e % 2;
      if (c < seen.of[e / 2].first || c > seen.of[e / 2].last) s[j][e] = kMinusInfinity;
    }
}

}  // namespace shardlora::cuda
