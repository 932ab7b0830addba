// Flash attention, backward (Dao et al., 2022). p is computed again from lse; with delta = rowsum(do o):
// dv += p^T do, dp = do v^T, ds = p (dp - delta) scale, dq += ds k, dk += ds^T q.
// A task is one key/value head of one sample: only it writes that head's dk and dv, so the order of its sums is fixed.
#include "backend/cpu/attention_tiles.h"
#include "backend/cpu/tile_product.h"
#include "backend/fast_math.h"
#include "backend/float_type.h"

namespace shardlora::cpu {

namespace {

constexpr std::int64_t kTileValues = kTile * kMaxHeadSize;

struct alignas(64) Tiles {
  float q[kTileValues], d_o[kTileValues], dq[kTileValues], k[kTileValues], v[kTileValues];  // (rows, width)
  float q_across[kTileValues], d_o_across[kTileValues];                                     // (D, queries); q scaled
  float p[kTile * kTile], ds[kTile * kTile];                                                // (keys, queries)
  float lse[kTile], delta[kTile];
};

struct Sizes {
  std::int64_t q_stride, kv_stride;  // from row to row
  std::int64_t d, width;             // width: d in whole lanes
  float scale;
};

// p and ds of one tile. `diagonal`: query i sees keys 0 .. i, otherwise all.
void score_gradients(Tiles& t, std::int64_t keys, std::int64_t queries, bool diagonal, const Sizes& z) {
  const std::int64_t lanes = whole_lanes(queries);
  tile_product(t.p, kTile, {t.k, z.width, 1}, t.q_across, kTile, keys, lanes, z.d);
  tile_product(t.ds, kTile, {t.v, z.width, 1}, t.d_o_across, kTile, keys, lanes, z.d);
  for (std::int64_t j = 0; j < keys; ++j) {
    float *p = t.p + j * kTile, *ds = t.ds + j * kTile;
#pragma omp simd
    for (std::int64_t i = 0; i < lanes; ++i) {
      p[i] = fast_exp(p[i] - t.lse[i]);
      ds[i] = p[i] * (ds[i] - t.delta[i]) * z.scale;
    }
    if (!diagonal) continue;
    std::fill(p, p + std::min(j, lanes), 0.0F);
    std::fill(ds, ds + std::min(j, lanes), 0.0F);
  }
}

// One block of queries of one head against all keys that it sees. dk, dv: f32 (rows of the sample, width).
template <typename T>
void block_backward(Tiles& t, T* dq, float* dk, float* dv, const T* q, const T* k, const T* v, std::int64_t first,
                    std::int64_t queries, const Sizes& z) {
  load_tile(t.q, z.width, q, z.q_stride, queries, z.d);
  load_transposed(t.q_across, q, z.q_stride, queries, z.d, z.scale);
  load_transposed(t.d_o_across, t.d_o, z.width, queries, z.d, 1.0F);
  std::fill(t.dq, t.dq + queries * z.width, 0.0F);
  for (std::int64_t begin = 0; begin < first + queries; begin += kTile) {
    const std::int64_t keys = std::min(kTile, first + queries - begin);
    load_tile(t.k, z.width, k + begin * z.kv_stride, z.kv_stride, keys, z.d);
    load_tile(t.v, z.width, v + begin * z.kv_stride, z.kv_stride, keys, z.d);
    score_gradients(t, keys, queries, begin == first, z);
    add_tile_product(dv + begin * z.width, z.width, {t.p, kTile, 1}, t.d_o, z.width, keys, z.width, queries);
    add_tile_product(dk + begin * z.width, z.width, {t.ds, kTile, 1}, t.q, z.width, keys, z.width, queries);
    add_tile_product(t.dq, z.width, {t.ds, 1, kTile}, t.k, z.width, queries, z.width, keys);
  }
  for (std::int64_t i = 0; i < queries; ++i)
#pragma omp simd
    for (std::int64_t c = 0; c < z.d; ++c) dq[i * z.q_stride + c] = from_float<T>(t.dq[i * z.width + c]);
}

// d_o, and delta of every query, which the caller may look at.
template <typename T>
void load_output_gradient(Tiles& t, float* delta, const float* lse, const T* d_o, const T* o, std::int64_t queries,
                          const Sizes& z) {
  load_tile(t.d_o, z.width, d_o, z.q_stride, queries, z.d);
  std::fill(t.lse, t.lse + kTile, 0.0F);
  std::fill(t.delta, t.delta + kTile, 0.0F);
  for (std::int64_t i = 0; i < queries; ++i) {
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t c = 0; c < z.d; ++c) sum += t.d_o[i * z.width + c] * to_float(o[i * z.q_stride + c]);
    t.delta[i] = delta[i] = sum;
    t.lse[i] = lse[i];
  }
}

template <typename T>
void round_rows(T* to, const float* from, std::int64_t rows, const Sizes& z) {
  for (std::int64_t r = 0; r < rows; ++r)
#pragma omp simd
    for (std::int64_t c = 0; c < z.d; ++c) to[r * z.kv_stride + c] = from_float<T>(from[r * z.width + c]);
}

}  // namespace

// dk and dv of every row in f32.
std::size_t attention_backward_scratch(const Shape& k) {
  return static_cast<std::size_t>(2 * k[0] * k[1] * whole_lanes(k[2])) * sizeof(float);
}

void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor delta, ConstTensor d_o, ConstTensor o, ConstTensor lse,
                        ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds, float scale,
                        std::byte* scratch) {
  const std::int64_t n = q.dim(0), heads = q.dim(1), d = q.dim(2), groups = k.dim(1), per_group = heads / groups;
  check_bounds(bounds, n);
  const auto* row_of = bounds.as<std::int32_t>();
  const std::int64_t tasks = (bounds.dim(0) - 1) * groups;
  const Sizes z{heads * d, groups * d, d, whole_lanes(d), scale};
  with_float_type(q.dtype, [&]<typename T>(std::type_identity<T>) {
#pragma omp parallel for schedule(dynamic, 1) if (q.numel() > kParallelValues)
    for (std::int64_t task = 0; task < tasks; ++task) {
      Tiles t;
      const std::int64_t g = task % groups, begin = row_of[task / groups], end = row_of[task / groups + 1];
      const std::int64_t kv_at = (begin * groups + g) * d, rows = end - begin;
      float* dk_sum = reinterpret_cast<float*>(scratch) + (g * n + begin) * z.width;
      float* dv_sum = dk_sum + groups * n * z.width;
      std::fill(dk_sum, dk_sum + rows * z.width, 0.0F);
      std::fill(dv_sum, dv_sum + rows * z.width, 0.0F);
      for (std::int64_t first = 0; first < rows; first += kTile)
        for (std::int64_t h = g * per_group; h < (g + 1) * per_group; ++h) {
          const std::int64_t queries = std::min(kTile, rows - first), row = begin + first, at = (row * heads + h) * d;
          load_output_gradient(t, delta.as<float>() + h * n + row, lse.as<float>() + h * n + row, d_o.as<T>() + at,
                               o.as<T>() + at, queries, z);
          block_backward(t, dq.as<T>() + at, dk_sum, dv_sum, q.as<T>() + at, k.as<T>() + kv_at, v.as<T>() + kv_at,
                         first, queries, z);
        }
      round_rows(dk.as<T>() + kv_at, dk_sum, rows, z);
      round_rows(dv.as<T>() + kv_at, dv_sum, rows, z);
    }
  });
}

}  // namespace shardlora::cpu
