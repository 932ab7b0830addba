// The two ways to compute attention, by dtype: on tensor cores for BF16 and F16, on CUDA cores for f32. And from a head
// size to the kernel's instance: the next of 64, 96, 128, 256, with zeros in the columns behind.
#pragma once

#include <type_traits>
#include <utility>

#include "backend/cuda/attention_rows.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

template <typename T>
struct AttentionForward {
  T* o;
  float* lse;
  const T *q, *k, *v;
  const int* bounds;
  AttentionSizes sizes;
};

template <typename T>
struct AttentionBackward {
  T *dq, *dk, *dv;
  const T *d_o, *q, *k, *v;
  const float *lse, *delta;
  const int* bounds;
  AttentionSizes sizes;
};

// What a block of the backward keeps (a, b) and what it passes over, as attention_backward_mma.cu says.
template <typename T>
struct Sides {
  const T *a, *b, *across_a, *across_b;
  std::int64_t stride, stride_across;
};

template <Down kDown, typename T>
__device__ __forceinline__ Sides<T> sides_of(const AttentionBackward<T>& x, int group, int head) {
  const AttentionSizes& z = x.sizes;
  const T *q = x.q + head * z.d, *d_o = x.d_o + head * z.d, *k = x.k + group * z.d, *v = x.v + group * z.d;
  const std::int64_t q_stride = z.heads * z.d, kv_stride = z.groups * z.d;
  if constexpr (kDown == Down::kQueries) return {q, d_o, k, v, q_stride, kv_stride};
  return {k, v, q, d_o, kv_stride, q_stride};
}

void attend(const AttentionForward<float>& x, cudaStream_t stream);
void attend(const AttentionForward<BF16>& x, cudaStream_t stream);
void attend(const AttentionForward<F16>& x, cudaStream_t stream);

void attend_backward(const AttentionBackward<float>& x, cudaStream_t stream);
void attend_backward(const AttentionBackward<BF16>& x, cudaStream_t stream);
void attend_backward(const AttentionBackward<F16>& x, cudaStream_t stream);

// body(std::integral_constant<int, D>{}) with the smallest instance that holds d.
template <typename Body>
void with_head_size(int d, Body&& body) {
  if (d <= 64) return std::forward<Body>(body)(std::integral_constant<int, 64>{});
  if (d <= 96) return std::forward<Body>(body)(std::integral_constant<int, 96>{});
  if (d <= 128) return std::forward<Body>(body)(std::integral_constant<int, 128>{});
  CHECK(d <= kMaxHeadSize, "attention has heads of up to {} values, not {}", kMaxHeadSize, d);
  return std::forward<Body>(body)(std::integral_constant<int, 256>{});
}

}  // namespace shardlora::cuda
