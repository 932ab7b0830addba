// Attention of one new token a sample over a cache, and the cache's filling. Online softmax over blocks of positions; a
// task is one key/value head of one sample with all query heads that read it, so that the cache is read once.
#include <algorithm>
#include <cstring>
#include <limits>

#include "backend/cpu/kernels.h"
#include "backend/fast_math.h"
#include "backend/float_type.h"

namespace shardlora::cpu {

namespace {

constexpr std::int64_t kPositions = 64;  // positions a block

struct alignas(64) Decoding {
  float q[kMaxHeadSize], o[kMaxHeadSize], p[kPositions];
};

// o (d) = attention of q (d) over `length` positions of k and v, whose rows lie `stride` values apart.
template <typename T>
void attend(T* o, const T* q, const T* k, const T* v, std::int64_t length, std::int64_t stride, std::int64_t d,
            float scale) {
  Decoding t;
  for (std::int64_t c = 0; c < d; ++c) t.q[c] = to_float(q[c]) * scale;
  std::fill(t.o, t.o + d, 0.0F);
  float most = -std::numeric_limits<float>::infinity(), sum = 0.0F;
  for (std::int64_t begin = 0; begin < length; begin += kPositions) {
    const std::int64_t count = std::min(kPositions, length - begin);
    float next = most;
    for (std::int64_t j = 0; j < count; ++j) {
      const T* key = k + (begin + j) * stride;
      float score = 0.0F;
#pragma omp simd reduction(+ : score)
      for (std::int64_t c = 0; c < d; ++c) score += t.q[c] * to_float(key[c]);
      t.p[j] = score;
      next = score > next ? score : next;
    }
    const float keep = fast_exp(most - next);
    most = next;
    float part = 0.0F;
#pragma omp simd reduction(+ : part)
    for (std::int64_t j = 0; j < count; ++j) {
      t.p[j] = fast_exp(t.p[j] - most);
      part += t.p[j];
    }
    sum = sum * keep + part;
#pragma omp simd
    for (std::int64_t c = 0; c < d; ++c) t.o[c] *= keep;
    for (std::int64_t j = 0; j < count; ++j) {
      const T* value = v + (begin + j) * stride;
      const float p = t.p[j];
#pragma omp simd
      for (std::int64_t c = 0; c < d; ++c) t.o[c] += p * to_float(value[c]);
    }
  }
  for (std::int64_t c = 0; c < d; ++c) o[c] = from_float<T>(t.o[c] / sum);
}

}  // namespace

void attention_decode(Tensor o, KvCache cache, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor lengths,
                      float scale) {
  const std::int64_t samples = q.dim(0), heads = q.dim(1), d = q.dim(2), groups = k.dim(1), capacity = cache.capacity();
  const auto* length = lengths.as<std::int32_t>();
  bool room = true;
  for (std::int64_t s = 0; s < samples; ++s) room = room && 0 <= length[s] && length[s] < capacity;
  CHECK(room, "attention_decode: a sample has no room left in its cache of {} positions", capacity);
  with_float_type(q.dtype, [&]<typename T>(std::type_identity<T>) {
    T *out = o.as<T>(), *keys = cache.k.as<T>(), *values = cache.v.as<T>();
    const T *queries = q.as<T>(), *new_k = k.as<T>(), *new_v = v.as<T>();
    const auto row = static_cast<std::size_t>(d) * sizeof(T);
#pragma omp parallel for schedule(dynamic, 1) if (samples > 1)
    for (std::int64_t task = 0; task < samples * groups; ++task) {
      const std::int64_t s = task / groups, g = task % groups, stride = groups * d;
      T *k_line = keys + s * capacity * stride + g * d, *v_line = values + s * capacity * stride + g * d;
      std::memcpy(k_line + length[s] * stride, new_k + task * d, row);
      std::memcpy(v_line + length[s] * stride, new_v + task * d, row);
      for (std::int64_t h = g * (heads / groups); h < (g + 1) * (heads / groups); ++h)
        attend(out + (s * heads + h) * d, queries + (s * heads + h) * d, k_line, v_line, length[s] + 1, stride, d,
               scale);
    }
  });
}

void fill_cache(KvCache cache, ConstTensor k, ConstTensor v, ConstTensor bounds) {
  const std::int64_t samples = bounds.dim(0) - 1, capacity = cache.capacity();
  const auto* row_of = bounds.as<std::int32_t>();
  const std::size_t row = static_cast<std::size_t>(k.dim(1) * k.dim(2)) * size_of(k.dtype);
  bool room = row_of[0] >= 0 && row_of[samples] <= k.dim(0);
  for (std::int64_t s = 0; s < samples; ++s)
    room = room && row_of[s] <= row_of[s + 1] && row_of[s + 1] - row_of[s] <= capacity;
  CHECK(room, "fill_cache: a sample is longer than its cache of {} positions", capacity);
#pragma omp parallel for schedule(static) if (k.numel() > kParallelValues)
  for (std::int64_t s = 0; s < samples; ++s) {
    const std::size_t from = static_cast<std::size_t>(row_of[s]) * row,
                      to = static_cast<std::size_t>(s * capacity) * row;
    const std::size_t bytes = static_cast<std::size_t>(row_of[s + 1] - row_of[s]) * row;
    std::memcpy(cache.k.data + to, k.data + from, bytes);
    std::memcpy(cache.v.data + to, v.data + from, bytes);
  }
}

}  // namespace shardlora::cpu
