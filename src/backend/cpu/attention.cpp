// Flash attention, forward (Dao et al., 2022; online softmax of Milakov & Gimelshein, 2018). For a block of queries,
// key block after key block: s = k q^T scale; m' = max(m, max s); p = e^(s - m'); l = l e^(m - m') + sum p; o = o e^(m
// - m') + v^T p. At the end o / l, and lse = m + log l. A task is one block of queries of one head.
#include <cmath>
#include <limits>

#include "backend/cpu/attention_tiles.h"
#include "backend/cpu/tile_product.h"
#include "backend/fast_math.h"
#include "backend/float_type.h"

namespace shardlora::cpu {

namespace {

struct alignas(64) Tiles {
  float q[kMaxHeadSize * kTile];   // (D, queries), scaled
  float o[kMaxHeadSize * kTile];   // (D, queries)
  float kv[kTile * kMaxHeadSize];  // (keys, D)
  float s[kTile * kTile];          // (keys, queries)
  float most[kTile], sum[kTile];   // m and l of every query
};

// s becomes p; m, l and o move on to the new maximum.
void softmax_step(Tiles& t, std::int64_t keys, std::int64_t lanes, std::int64_t d) {
  alignas(64) float most[kTile], keep[kTile];
  std::copy(t.most, t.most + lanes, most);
  for (std::int64_t j = 0; j < keys; ++j) {
    const float* row = t.s + j * kTile;
#pragma omp simd
    for (std::int64_t i = 0; i < lanes; ++i) most[i] = row[i] > most[i] ? row[i] : most[i];
  }
#pragma omp simd
  for (std::int64_t i = 0; i < lanes; ++i) {
    keep[i] = fast_exp(t.most[i] - most[i]);
    t.most[i] = most[i];
    t.sum[i] *= keep[i];
  }
  for (std::int64_t j = 0; j < keys; ++j) {
    float* row = t.s + j * kTile;
#pragma omp simd
    for (std::int64_t i = 0; i < lanes; ++i) {
      row[i] = fast_exp(row[i] - most[i]);
      t.sum[i] += row[i];
    }
  }
  for (std::int64_t k = 0; k < d; ++k) {
    float* row = t.o + k * kTile;
#pragma omp simd
    for (std::int64_t i = 0; i < lanes; ++i) row[i] *= keep[i];
  }
}

// One block of queries of one head. q, o: its first row; k, v: the sample's first row.
template <typename T>
void attend(Tiles& t, T* o, float* lse, const T* q, const T* k, const T* v, std::int64_t first, std::int64_t queries,
            std::int64_t q_stride, std::int64_t kv_stride, std::int64_t d, float scale) {
  const std::int64_t lanes = whole_lanes(queries);
  load_transposed(t.q, q, q_stride, queries, d, scale);
  std::fill(t.o, t.o + d * kTile, 0.0F);
  std::fill(t.most, t.most + kTile, -std::numeric_limits<float>::infinity());
  std::fill(t.sum, t.sum + kTile, 0.0F);
  for (std::int64_t begin = 0; begin < first + queries; begin += kTile) {
    const std::int64_t keys = std::min(kTile, first + queries - begin);
    load_tile(t.kv, d, k + begin * kv_stride, kv_stride, keys, d);
    tile_product(t.s, kTile, {t.kv, d, 1}, t.q, kTile, keys, lanes, d);
    if (begin == first)  // the diagonal: query i sees keys 0 .. i
      for (std::int64_t j = 0; j < keys; ++j)
        for (std::int64_t i = 0; i < std::min(j, lanes); ++i)
          t.s[j * kTile + i] = -std::numeric_limits<float>::infinity();
    softmax_step(t, keys, lanes, d);
    load_tile(t.kv, d, v + begin * kv_stride, kv_stride, keys, d);
    add_tile_product(t.o, kTile, {t.kv, 1, d}, t.s, kTile, d, lanes, keys);
  }
  for (std::int64_t i = 0; i < queries; ++i) {
    const float inverse = 1.0F / t.sum[i];
    for (std::int64_t c = 0; c < d; ++c) o[i * q_stride + c] = from_float<T>(t.o[c * kTile + i] * inverse);
    lse[i] = t.most[i] + std::log(t.sum[i]);
  }
}

}  // namespace

void attention(Tensor o, Tensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds, float scale) {
  const std::int64_t n = q.dim(0), heads = q.dim(1), d = q.dim(2), groups = k.dim(1);
  check_bounds(bounds, n);
  const QueryBlocks blocks(bounds);
  const std::int64_t count = blocks.count();
  with_float_type(q.dtype, [&]<typename T>(std::type_identity<T>) {
    T* out = o.as<T>();
    const T *queries = q.as<T>(), *keys = k.as<T>(), *values = v.as<T>();
    float* log_sum = lse.as<float>();
#pragma omp parallel for schedule(dynamic, 1) if (q.numel() > kParallelValues)
    for (std::int64_t task = 0; task < count * heads; ++task) {
      Tiles tiles;
      const QueryBlock b = blocks[count - 1 - task / heads];  // the long ones of a sample first
      const std::int64_t h = task % heads, g = h / (heads / groups);
      const std::int64_t at = (b.begin * heads + h) * d, kv_at = (b.sample * groups + g) * d;
      attend(tiles, out + at, log_sum + h * n + b.begin, queries + at, keys + kv_at, values + kv_at, b.begin - b.sample,
             b.end - b.begin, heads * d, groups * d, d, scale);
    }
  });
}

}  // namespace shardlora::cpu
