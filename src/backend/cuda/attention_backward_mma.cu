// Attention's backward on tensor cores. One kernel in two roles: going down the score matrix by queries it gives dq, by
// keys (the matrix transposed) dk and dv. A block keeps a tile of its own rows in shared memory, passes over the rows
// across that any of them sees, and for every 16 rows a warp makes s = a across_a^T, dp = b across_b^T, then p and ds,
// then the sums. Queries: (a, b) = (q, do), across (k, v), da = scale ds k.
// Keys: (a, b) = (k, v), across (q, do), da = scale ds q, db = p do, summed over the group's query heads one by one.
#include "backend/cuda/attention_mma.h"
#include "backend/cuda/attention_parts.h"
#include "backend/cuda/launch.h"

namespace shardlora::cuda {

namespace {

// Heads of 256 would not fit the registers of a warp: two warps share 16 rows there, each sums half the columns.
template <int D>
struct Geometry {
  static constexpr int kWarpsAcross = D > 128 ? 2 : 1, kColumns = D / kWarpsAcross;
  static constexpr int kRows = kMmaThreads / 32 / kWarpsAcross * 16;
  static constexpr int kAcross = D > (kCopiesThroughRegisters ? 96 : 128) ? 16 : 32;
  static constexpr std::size_t kSharedBytes = 2 * (kRows + kAcross) * D * 2;
};

// Scores s become p, and dp becomes ds without its factor scale. Row of lse and delta: of the query.
template <Down kDown, int kTiles>
__device__ __forceinline__ void score_gradients(float (&s)[kTiles][4], float (&dp)[kTiles][4], const float* lse,
                                                const float* delta, int row, int begin, const AttentionSizes& z) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float log_sum[2], less[2];
  for (int half = 0; half < 2 && kDown == Down::kQueries; ++half) {
    const int query = min(row + lane / 4 + half * 8, z.rows - 1);
    log_sum[half] = lse[query] * kLog2OfE;
    less[half] = delta[query];
  }
#pragma unroll
  for (int j = 0; j < kTiles; ++j) {
    for (int side = 0; side < 2 && kDown == Down::kKeys; ++side) {
      const int query = min(begin + j * 8 + lane % 4 * 2 + side, z.rows - 1);
      log_sum[side] = lse[query] * kLog2OfE;
      less[side] = delta[query];
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int query = kDown == Down::kQueries ? e / 2 : e % 2;
      s[j][e] = exp2_flushed(fmaf(s[j][e], z.scale * kLog2OfE, -log_sum[query]));
      dp[j][e] = s[j][e] * (dp[j][e] - less[query]);
    }
  }
}

template <Down kDown, typename T, int D>
__global__ void __launch_bounds__(kMmaThreads, 2) attention_backward_kernel(const AttentionBackward<T> x) {
  using G = Geometry<D>;
  constexpr bool kKeys = kDown == Down::kKeys;
  const AttentionSizes& z = x.sizes;
  const SharedTile<T, D> a{dynamic_shared<T>()}, b{a.data + G::kRows * D}, across_a{b.data + G::kRows * D},
      across_b{across_a.data + G::kAcross * D};
  const int warp = static_cast<int>(threadIdx.x) / 32, row = warp / G::kWarpsAcross * 16,
            column = warp % G::kWarpsAcross * G::kColumns;
  const int first = first_row_of_block<kDown>(G::kRows), per_group = z.heads / z.groups;
  const int group = static_cast<int>(blockIdx.x) / (kKeys ? 1 : per_group);
  const int first_head = static_cast<int>(blockIdx.x) * (kKeys ? per_group : 1);
  const Interval columns = columns_of_tile<kDown>(first, G::kRows, x.bounds, z);
  const Seen seen = seen_by_thread<kDown>(first + row, x.bounds, z);

  float da[G::kColumns / 8][4] = {}, db[kKeys ? G::kColumns / 8 : 1][4] = {};
  for (int head = first_head; head < first_head + (kKeys ? per_group : 1); ++head) {
    const Sides<T> sides = sides_of<kDown>(x, group, head);
    if (head == first_head) {
      begin_loading<G::kRows>(a, sides.a + first * sides.stride, sides.stride, z.rows - first, z.d);
      begin_loading<G::kRows>(b, sides.b + first * sides.stride, sides.stride, z.rows - first, z.d);
    }
    for (int begin = columns.first; begin <= columns.last; begin += G::kAcross) {
      const std::int64_t from = begin * sides.stride_across;
      begin_loading<G::kAcross>(across_a, sides.across_a + from, sides.stride_across, z.rows - begin, z.d);
      begin_loading<G::kAcross>(across_b, sides.across_b + from, sides.stride_across, z.rows - begin, z.d);
      wait_for_copies();
      __syncthreads();
      if (warp_sees(seen, begin, G::kAcross)) {
        float s[G::kAcross / 8][4], dp[G::kAcross / 8][4];
        row_products<G::kAcross>(s, a, row, across_a);
        row_products<G::kAcross>(dp, b, row, across_b);
        hide_unseen(s, seen, begin);
        const std::int64_t line = static_cast<std::int64_t>(head) * z.rows;
        score_gradients<kDown>(s, dp, x.lse + line, x.delta + line, first + row, begin, z);
        if constexpr (kKeys) add_product<G::kAcross, G::kColumns>(db, s, across_b, column);
        add_product<G::kAcross, G::kColumns>(da, dp, across_a, column);
      }
      __syncthreads();
    }
  }
  const std::int64_t stride = (kKeys ? z.groups : z.heads) * z.d, at = static_cast<int>(blockIdx.x) * z.d;
  store_rows<T>((kKeys ? x.dk : x.dq) + at, stride, first + row, z.rows, column, z.d, da, z.scale, z.scale);
  if constexpr (kKeys) store_rows<T>(x.dv + at, stride, first + row, z.rows, column, z.d, db, 1.0F, 1.0F);
}

template <typename T>
void start(const AttentionBackward<T>& x, cudaStream_t stream) {
  with_head_size(x.sizes.d, [&]<int D>(std::integral_constant<int, D>) {
    using G = Geometry<D>;
    const unsigned tiles = blocks_for(x.sizes.rows, G::kRows);
    launch(attention_backward_kernel<Down::kKeys, T, D>, dim3(static_cast<unsigned>(x.sizes.groups), tiles),
           dim3(kMmaThreads), G::kSharedBytes, stream, x);
    launch(attention_backward_kernel<Down::kQueries, T, D>, dim3(static_cast<unsigned>(x.sizes.heads), tiles),
           dim3(kMmaThreads), G::kSharedBytes, stream, x);
  });
}

}  // namespace

void attend_backward(const AttentionBackward<BF16>& x, cudaStream_t stream) { start(x, stream); }
void attend_backward(const AttentionBackward<F16>& x, cudaStream_t stream) { start(x, stream); }

}  // namespace shardlora::cuda
