// Attention of one new token a sample over its cache, with online softmax. A block has up to four query heads that read
// the same key/value head of one sample; a row of the cache is read by as many lanes as it has chunks of eight values
// (a power of two), and every such team takes a few positions at a time. The teams' sums meet at the end, in a fixed
// order. The new token's k and v come from the arguments, so that no block waits for the one that writes the cache.
#include "backend/cuda/attention_rows.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

namespace {

constexpr int kWarps = kThreads / 32, kHeads = 4;

template <typename T>
struct Decoding {
  T *o, *cache_k, *cache_v;
  const T *q, *k, *v;
  const int* lengths;
  int capacity, heads, groups, d, team;  // team: lanes a row
  float scale;
};

// One team's share of one head: the lane's eight columns of the output, and the softmax they belong to.
struct Share {
  float most = kMinusInfinity, sum = 0.0F, out[8] = {};
};

// Two shares of the same head become one.
__device__ __forceinline__ void merge(Share& to, float most, float sum, const float (&out)[8]) {
  const float next = fmaxf(to.most, most), shift = next == kMinusInfinity ? 0.0F : next;
  const float keep = exp2_flushed(to.most - shift), take = exp2_flushed(most - shift);
  to.most = next;
  to.sum = to.sum * keep + sum * take;
  for (int c = 0; c < 8; ++c) to.out[c] = to.out[c] * keep + out[c] * take;
}

template <typename T>
struct alignas(16) Eight {
  T values[8];
};

// A team's next positions: several at once, for a row is far away. Scores of those behind the last are minus infinity.
template <typename T, int kCount>
__device__ __forceinline__ void attend(Share& to, const float (&query)[8], const Eight<T> (&keys)[kCount],
                                       const Eight<T> (&values)[kCount], int count, int team) {
  float scores[kCount], next = to.most;
#pragma unroll
  for (int b = 0; b < kCount; ++b) {
    scores[b] = 0.0F;
    for (int c = 0; c < 8; ++c) scores[b] += query[c] * as_float(keys[b].values[c]);
    for (int offset = team / 2; offset > 0; offset /= 2) scores[b] += __shfl_xor_sync(0xffffffffU, scores[b], offset);
    if (b >= count) scores[b] = kMinusInfinity;
    next = fmaxf(next, scores[b]);
  }
  const float shift = next == kMinusInfinity ? 0.0F : next, keep = exp2_flushed(to.most - shift);
  to.most = next;
  to.sum *= keep;
  for (float& value : to.out) value *= keep;
#pragma unroll
  for (int b = 0; b < kCount; ++b) {
    const float p = exp2_flushed(scores[b] - shift);
    to.sum += p;
    for (int c = 0; c < 8; ++c) to.out[c] += p * as_float(values[b].values[c]);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) decode_kernel(const Decoding<T> x) {
  __shared__ float most[kWarps][kHeads], sum[kWarps][kHeads], out[kWarps][kHeads][kMaxHeadSize];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int sample = static_cast<int>(blockIdx.x), group = static_cast<int>(blockIdx.y);
  const int per_group = x.heads / x.groups, first = static_cast<int>(blockIdx.z) * kHeads;
  const int heads = min(kHeads, per_group - first);
  const int column = lane % x.team * 8, length = x.lengths[sample];
  device_check(0 <= length && length < x.capacity);
  const bool inside = column < x.d;
  const std::int64_t stride = x.groups * x.d, new_row = sample * stride + group * x.d + column,
                     line = static_cast<std::int64_t>(sample) * x.capacity * stride + group * x.d + column;
  if (first == 0 && warp == 0 && lane < x.team && inside)
    for (int c = 0; c < 8; ++c) {
      x.cache_k[line + length * stride + c] = x.k[new_row + c];
      x.cache_v[line + length * stride + c] = x.v[new_row + c];
    }

  const T* q = x.q + (static_cast<std::int64_t>(sample) * x.heads + group * per_group + first) * x.d;
  float queries[kHeads][8] = {};  // times scale and log2(e)
  for (int h = 0; h < kHeads; ++h)
    if (h < heads && inside) {
      load_8(queries[h], q + h * x.d + column);
      for (float& value : queries[h]) value *= x.scale * kLog2OfE;
    }
  Share share[kHeads];
  constexpr int kAtOnce = sizeof(T) == 4 ? 2 : 4;
  const int teams = kThreads / x.team;
  for (int begin = 0; begin <= length; begin += kAtOnce * teams) {
    const int position = begin + static_cast<int>(threadIdx.x) / x.team * kAtOnce;
    Eight<T> keys[kAtOnce] = {}, values[kAtOnce] = {};
#pragma unroll
    for (int b = 0; b < kAtOnce; ++b)
      if (position + b <= length && inside) {
        const bool is_new = position + b == length;
        const std::int64_t at = line + (position + b) * stride;
        keys[b] = *reinterpret_cast<const Eight<T>*>(is_new ? x.k + new_row : x.cache_k + at);
        values[b] = *reinterpret_cast<const Eight<T>*>(is_new ? x.v + new_row : x.cache_v + at);
      }
#pragma unroll
    for (int h = 0; h < kHeads; ++h) attend(share[h], queries[h], keys, values, length + 1 - position, x.team);
  }
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    Share& s = share[h];
    for (int offset = x.team; offset < 32; offset *= 2) {
      float of[8];
      const float other_most = __shfl_xor_sync(0xffffffffU, s.most, offset),
                  other_sum = __shfl_xor_sync(0xffffffffU, s.sum, offset);
      for (int c = 0; c < 8; ++c) of[c] = __shfl_xor_sync(0xffffffffU, s.out[c], offset);
      merge(s, other_most, other_sum, of);
    }
    if (lane == 0) most[warp][h] = s.most, sum[warp][h] = s.sum;
    if (lane < x.team)
      for (int c = 0; c < 8; ++c) out[warp][h][column + c] = s.out[c];
  }
  __syncthreads();
  T* o = x.o + (q - x.q);
  for (int i = static_cast<int>(threadIdx.x); i < heads * x.d; i += kThreads) {
    const int h = i / x.d;
    float largest = kMinusInfinity, whole = 0.0F, value = 0.0F;
    for (int w = 0; w < kWarps; ++w) largest = fmaxf(largest, most[w][h]);
    for (int w = 0; w < kWarps; ++w) {
      const float factor = exp2_flushed(most[w][h] - largest);
      whole += sum[w][h] * factor;
      value += out[w][h][i % x.d] * factor;
    }
    o[i] = rounded<T>(value / whole);
  }
}

}  // namespace

void attention_decode(Tensor o, KvCache cache, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor lengths,
                      float scale, cudaStream_t stream) {
  const int heads = static_cast<int>(q.dim(1)), groups = static_cast<int>(k.dim(1)), d = static_cast<int>(q.dim(2));
  CHECK(d <= kMaxHeadSize, "attention has heads of up to {} values, not {}", kMaxHeadSize, d);
  check_rows(o, cache.k, cache.v, q, k, v);
  int team = 1;
  while (team * 8 < d) team *= 2;
  with_float_type(q.dtype, [&]<typename T>(std::type_identity<T>) {
    const Decoding<T> x{o.as<T>(),
                        cache.k.as<T>(),
                        cache.v.as<T>(),
                        q.as<T>(),
                        k.as<T>(),
                        v.as<T>(),
                        lengths.as<std::int32_t>(),
                        static_cast<int>(cache.capacity()),
                        heads,
                        groups,
                        d,
                        team,
                        scale};
    launch(decode_kernel<T>,
           dim3(static_cast<unsigned>(q.dim(0)), static_cast<unsigned>(groups), blocks_for(heads / groups, kHeads)),
           dim3(kThreads), 0, stream, x);
  });
}

}  // namespace shardlora::cuda
