// Attention's backward in f32 on CUDA cores: the formulas and the two roles of attention_backward_mma.cu. One tile of
// shared memory holds the rows across in turns: across_a for the scores, across_b for dp and db, across_a again for da.
#include "backend/cuda/attention_f32.h"
#include "backend/cuda/attention_parts.h"
#include "backend/cuda/launch.h"

namespace shardlora::cuda {

namespace {

template <int D>
struct Geometry {
  static constexpr int kWarpRows = D > 128 ? 1 : 4, kRows = kWarpRows * kPlainWarps;
  static constexpr std::size_t kSharedBytes = ((2 * kRows + kPlainAcross) * D + kRows * kPlainAcross) * sizeof(float);
};

template <Down kDown, int D>
__global__ void __launch_bounds__(kPlainThreads, 3) attention_backward_f32_kernel(const AttentionBackward<float> x) {
  constexpr int kWarpRows = Geometry<D>::kWarpRows, kRows = Geometry<D>::kRows;
  constexpr bool kKeys = kDown == Down::kKeys;
  const AttentionSizes& z = x.sizes;
  const PlainTile<D> a{dynamic_shared<float>()}, b{a.data + kRows * D}, across{b.data + kRows * D};
  const int lane = static_cast<int>(threadIdx.x) % 32, row = static_cast<int>(threadIdx.x) / 32 * kWarpRows;
  float* shared_p = across.data + kPlainAcross * D + row * kPlainAcross;
  const int first = first_row_of_block<kDown>(kRows), per_group = z.heads / z.groups;
  const int group = static_cast<int>(blockIdx.x) / (kKeys ? 1 : per_group);
  const int first_head = static_cast<int>(blockIdx.x) * (kKeys ? per_group : 1);
  const Interval columns = columns_of_tile<kDown>(first, kRows, x.bounds, z);
  Interval seen[kWarpRows];
  for (int r = 0; r < kWarpRows; ++r) seen[r] = columns_of<kDown>(first + row + r, x.bounds, z);

  float da[kWarpRows][D / 32] = {}, db[kKeys ? kWarpRows : 1][D / 32] = {};
  for (int head = first_head; head < first_head + (kKeys ? per_group : 1); ++head) {
    const Sides<float> sides = sides_of<kDown>(x, group, head);
    const auto load_across = [&](const float* from, int begin) {
      __syncthreads();
      load_plain(across, kPlainAcross, from + begin * sides.stride_across, sides.stride_across, z.rows - begin, z.d);
      __syncthreads();
    };
    if (head == first_head) {
      load_plain(a, kRows, sides.a + first * sides.stride, sides.stride, z.rows - first, z.d);
      load_plain(b, kRows, sides.b + first * sides.stride, sides.stride, z.rows - first, z.d);
    }
    const float *lse = x.lse + static_cast<std::int64_t>(head) * z.rows,
                *delta = x.delta + static_cast<std::int64_t>(head) * z.rows;
    for (int begin = columns.first; begin <= columns.last; begin += kPlainAcross) {
      float p[kWarpRows], ds[kWarpRows];
      load_across(sides.across_a, begin);
      plain_scores(p, a, row, across);
      load_across(sides.across_b, begin);
      plain_scores(ds, b, row, across);
#pragma unroll
      for (int r = 0; r < kWarpRows; ++r) {
        const int query = min(kKeys ? begin + lane : first + row + r, z.rows - 1);
        const bool sees = seen[r].first <= begin + lane && begin + lane <= seen[r].last;
        p[r] = sees ? exp2_flushed(p[r] * (z.scale * kLog2OfE) - lse[query] * kLog2OfE) : 0.0F;
        ds[r] = p[r] * (ds[r] - delta[query]);
      }
      if constexpr (kKeys) add_plain(db, p, shared_p, across);
      load_across(sides.across_a, begin);
      add_plain(da, ds, shared_p, across);
    }
  }
  float scales[kWarpRows], ones[kWarpRows];
  for (int r = 0; r < kWarpRows; ++r) scales[r] = z.scale, ones[r] = 1.0F;
  const std::int64_t stride = (kKeys ? z.groups : z.heads) * z.d, at = static_cast<int>(blockIdx.x) * z.d;
  store_plain((kKeys ? x.dk : x.dq) + at, stride, first + row, z.rows, z.d, da, scales);
  if constexpr (kKeys) store_plain(x.dv + at, stride, first + row, z.rows, z.d, db, ones);
}

}  // namespace

void attend_backward(const AttentionBackward<float>& x, cudaStream_t stream) {
  with_head_size(x.sizes.d, [&]<int D>(std::integral_constant<int, D>) {
    using G = Geometry<D>;
    const unsigned tiles = blocks_for(x.sizes.rows, G::kRows);
    launch(attention_backward_f32_kernel<Down::kKeys, D>, dim3(static_cast<unsigned>(x.sizes.groups), tiles),
           dim3(kPlainThreads), G::kSharedBytes, stream, x);
    launch(attention_backward_f32_kernel<Down::kQueries, D>, dim3(static_cast<unsigned>(x.sizes.heads), tiles),
           dim3(kPlainThreads), G::kSharedBytes, stream, x);
  });
}

}  // namespace shardlora::cuda
