// Flash attention, forward, in f32 on CUDA cores: the formula of attention_mma.cu with every value exact to f32. One
// tile of shared memory holds first the keys, then the values.
#include "backend/cuda/attention_f32.h"

#include "backend/cuda/attention_parts.h"
#include "backend/cuda/launch.h"

namespace shardlora::cuda {

namespace {

template <int D>
struct Geometry {
  static constexpr int kWarpRows = D > 128 ? 2 : 4, kRows = kWarpRows * kPlainWarps;
  static constexpr std::size_t kSharedBytes = ((kRows + kPlainAcross) * D + kRows * kPlainAcross) * sizeof(float);
};

template <int D>
__global__ void __launch_bounds__(kPlainThreads) attention_f32_kernel(const AttentionForward<float> x) {
  constexpr int kWarpRows = Geometry<D>::kWarpRows, kRows = Geometry<D>::kRows;
  const AttentionSizes& z = x.sizes;
  const PlainTile<D> queries{dynamic_shared<float>()}, across{queries.data + kRows * D};
  const int lane = static_cast<int>(threadIdx.x) % 32, row = static_cast<int>(threadIdx.x) / 32 * kWarpRows;
  float* shared_p = across.data + kPlainAcross * D + row * kPlainAcross;
  const int head = static_cast<int>(blockIdx.x), group = head / (z.heads / z.groups);
  const int first = first_row_of_block<Down::kQueries>(kRows);
  const std::int64_t q_stride = z.heads * z.d, kv_stride = z.groups * z.d;
  const float *k = x.k + group * z.d, *v = x.v + group * z.d;
  const Interval columns = columns_of_tile<Down::kQueries>(first, kRows, x.bounds, z);
  const float scale_log2 = z.scale * kLog2OfE;

  Interval seen[kWarpRows];
  float most[kWarpRows], sum[kWarpRows], out[kWarpRows][D / 32] = {};
  for (int r = 0; r < kWarpRows; ++r) {
    seen[r] = columns_of<Down::kQueries>(first + row + r, x.bounds, z);
    most[r] = kMinusInfinity;
    sum[r] = 0.0F;
  }
  load_plain(queries, kRows, x.q + first * q_stride + head * z.d, q_stride, z.rows - first, z.d);
  for (int begin = columns.first; begin <= columns.last; begin += kPlainAcross) {
    __syncthreads();
    load_plain(across, kPlainAcross, k + begin * kv_stride, kv_stride, z.rows - begin, z.d);
    __syncthreads();
    float p[kWarpRows];
    plain_scores(p, queries, row, across);
#pragma unroll
    for (int r = 0; r < kWarpRows; ++r) {
      const bool sees = seen[r].first <= begin + lane && begin + lane <= seen[r].last;
      const float score = sees ? p[r] * scale_log2 : kMinusInfinity;
      const float next = fmaxf(most[r], warp_max(score));
      const float shift = next == kMinusInfinity ? 0.0F : next;  // a row that has seen no key yet
      const float keep = exp2_flushed(most[r] - shift);
      most[r] = next;
      p[r] = exp2_flushed(score - shift);
      sum[r] = sum[r] * keep + p[r];  // of this lane's keys
      for (float& value : out[r]) value *= keep;
    }
    __syncthreads();
    load_plain(across, kPlainAcross, v + begin * kv_stride, kv_stride, z.rows - begin, z.d);
    __syncthreads();
    add_plain(out, p, shared_p, across);
  }
  float inverse[kWarpRows];
#pragma unroll
  for (int r = 0; r < kWarpRows; ++r) {
    sum[r] = warp_sum(sum[r]);
    inverse[r] = 1.0F / sum[r];
    if (lane == 0 && first + row + r < z.rows)
      x.lse[static_cast<std::int64_t>(head) * z.rows + first + row + r] = most[r] * kLnOf2 + logf(sum[r]);
  }
  store_plain(x.o + head * z.d, q_stride, first + row, z.rows, z.d, out, inverse);
}

}  // namespace

void attend(const AttentionForward<float>& x, cudaStream_t stream) {
  with_head_size(x.sizes.d, [&]<int D>(std::integral_constant<int, D>) {
    launch(attention_f32_kernel<D>,
           dim3(static_cast<unsigned>(x.sizes.heads), blocks_for(x.sizes.rows, Geometry<D>::kRows)),
           dim3(kPlainThreads), Geometry<D>::kSharedBytes, stream, x);
  });
}

}  // namespace shardlora::cuda
