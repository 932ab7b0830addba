// Flash attention, forward, on tensor cores (Dao, "FlashAttention-2", 2023). A block takes a tile of query rows of one
// head and goes over the keys that any of them sees; a warp has 16 rows: s = q k^T; m' = max(m, max s); with
// c = scale log2(e): p = 2^(c (s - m')); l = l 2^(c (m - m')) + sum p; o = o 2^(c (m - m')) + p v. At the end o / l,
// and lse = scale m + log l. p is rounded to the dtype for its product with v, l is summed before that.
#include "backend/cuda/attention_mma.h"

#include "backend/cuda/attention_parts.h"
#include "backend/cuda/launch.h"

namespace shardlora::cuda {

namespace {

template <int D>
struct Geometry {
  static constexpr int kQueries = 64, kKeys = D <= 128 ? 64 : kCopiesThroughRegisters ? 16 : 32;
  static constexpr std::size_t kSharedBytes = (kQueries + 2 * kKeys) * D * 2;
};

// Softmax of two rows, as far as the keys so far tell.
struct Running {
  float most[2] = {kMinusInfinity, kMinusInfinity};
  float sum[2] = {0.0F, 0.0F};  // this thread's columns only
};

// Scores s become p; out moves on to the new maximum.
template <int kTiles, int kOutTiles>
__device__ __forceinline__ void softmax_step(Running& run, float (&s)[kTiles][4], float (&out)[kOutTiles][4],
                                             float factor) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float most = run.most[half];
#pragma unroll
    for (int j = 0; j < kTiles; ++j)
#pragma unroll
      for (int e = 2 * half; e < 2 * half + 2; ++e) most = fmaxf(most, s[j][e]);
    most = fmaxf(most, __shfl_xor_sync(0xffffffffU, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffU, most, 2));
    const float shift = most == kMinusInfinity ? 0.0F : most * factor;  // a row that has seen no key yet
    const float keep = exp2_flushed(fmaf(run.most[half], factor, -shift));
    run.most[half] = most;
    float sum = 0.0F;
#pragma unroll
    for (int j = 0; j < kTiles; ++j)
#pragma unroll
      for (int e = 2 * half; e < 2 * half + 2; ++e) {
        s[j][e] = exp2_flushed(fmaf(s[j][e], factor, -shift));
        sum += s[j][e];
      }
    run.sum[half] = run.sum[half] * keep + sum;
#pragma unroll
    for (int j = 0; j < kOutTiles; ++j) {
      out[j][2 * half] *= keep;
      out[j][2 * half + 1] *= keep;
    }
  }
}

template <typename T, int D>
__global__ void __launch_bounds__(kMmaThreads, D > 96 ? 2 : 3) attention_kernel(const AttentionForward<T> x) {
  using G = Geometry<D>;
  const AttentionSizes& z = x.sizes;
  const SharedTile<T, D> queries{dynamic_shared<T>()}, keys{queries.data + G::kQueries * D},
      values{keys.data + G::kKeys * D};
  const int head = static_cast<int>(blockIdx.x), group = head / (z.heads / z.groups);
  const int first = first_row_of_block<Down::kQueries>(G::kQueries), row = static_cast<int>(threadIdx.x) / 32 * 16;
  const std::int64_t q_stride = z.heads * z.d, kv_stride = z.groups * z.d;
  const T *k = x.k + group * z.d, *v = x.v + group * z.d;
  const Interval columns = columns_of_tile<Down::kQueries>(first, G::kQueries, x.bounds, z);
  const Seen seen = seen_by_thread<Down::kQueries>(first + row, x.bounds, z);

  float out[D / 8][4] = {};
  Running run;
  begin_loading<G::kQueries>(queries, x.q + first * q_stride + head * z.d, q_stride, z.rows - first, z.d);
  begin_loading<G::kKeys>(keys, k + columns.first * kv_stride, kv_stride, z.rows - columns.first, z.d);
  for (int begin = columns.first; begin <= columns.last; begin += G::kKeys) {
    const bool sees = warp_sees(seen, begin, G::kKeys);
    wait_for_copies();
    __syncthreads();  // the keys are there, the values before are used
    begin_loading<G::kKeys>(values, v + begin * kv_stride, kv_stride, z.rows - begin, z.d);
    float s[G::kKeys / 8][4];
    if (sees) row_products<G::kKeys>(s, queries, row, keys);
    wait_for_copies();
    __syncthreads();  // the values are there, the keys are used
    const int next = begin + G::kKeys;
    if (next <= columns.last) begin_loading<G::kKeys>(keys, k + next * kv_stride, kv_stride, z.rows - next, z.d);
    if (!sees) continue;
    hide_unseen(s, seen, begin);
    softmax_step(run, s, out, x.sizes.scale * kLog2OfE);
    add_product<G::kKeys, D>(out, s, values, 0);
  }
  for (int half = 0; half < 2; ++half) {
    float& sum = run.sum[half];
    sum += __shfl_xor_sync(0xffffffffU, sum, 1);
    sum += __shfl_xor_sync(0xffffffffU, sum, 2);
    const int r = first + row + static_cast<int>(threadIdx.x) % 32 / 4 + half * 8;
    if (threadIdx.x % 4 == 0 && r < z.rows)
      x.lse[static_cast<std::int64_t>(head) * z.rows + r] = run.most[half] * z.scale + logf(sum);
  }
  store_rows<T>(x.o + head * z.d, q_stride, first + row, z.rows, 0, z.d, out, 1.0F / run.sum[0], 1.0F / run.sum[1]);
}

template <typename T>
void start(const AttentionForward<T>& x, cudaStream_t stream) {
  with_head_size(x.sizes.d, [&]<int D>(std::integral_constant<int, D>) {
    launch(attention_kernel<T, D>,
           dim3(static_cast<unsigned>(x.sizes.heads), blocks_for(x.sizes.rows, Geometry<D>::kQueries)),
           dim3(kMmaThreads), Geometry<D>::kSharedBytes, stream, x);
  });
}

}  // namespace

void attend(const AttentionForward<BF16>& x, cudaStream_t stream) { start(x, stream); }
void attend(const AttentionForward<F16>& x, cudaStream_t stream) { start(x, stream); }

}  // namespace shardlora::cuda
