// Softmax cross-entropy of a chunk of logits. Per row, with m the largest logit and z = sum e^(x - m):
// loss = m + log z - x[target], dlogits = (e^(x - m) / z - [target]) * gradient_scale.
//
// A block takes a row. One pass finds m and z together: a thread's sum counts from its own largest logit so far and
// shrinks when that grows (Milakov & Gimelshein, "Online normalizer calculation for softmax", 2018).
#include "backend/cuda/kernels.h"
#include "backend/cuda/reduce.h"
#include "backend/cuda/vector.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

namespace {

constexpr int kRowThreads = 512, kRun = kWidth<float>;

struct Softmax {
  float m, z;  // the largest logit, the sum of e^(x - m)
};

// Of a row of n logits. All threads get it.
__device__ Softmax softmax_of(const float* row, std::int64_t n, bool vectors) {
  float most = Largest::kNone, sum = 0.0F;
  for (std::int64_t k0 = threadIdx.x * kRun; k0 < n; k0 += kRowThreads * kRun) {
    float x[kRun];
    load(x, row + k0, n - k0, vectors);
    if (n - k0 < kRun)
#pragma unroll
      for (int k = 1; k < kRun; ++k) x[k] = k0 + k < n ? x[k] : Largest::kNone;
    float larger = most;
#pragma unroll
    for (int k = 0; k < kRun; ++k) larger = fmaxf(larger, x[k]);
    if (larger > most) sum *= expf(most - larger);
    most = larger;
    const float from = most == Largest::kNone ? 0.0F : most;  // nothing but -inf so far
#pragma unroll
    for (int k = 0; k < kRun; ++k) sum += expf(x[k] - from);
  }
  const float m = over_block<Largest>(most);
  return {m, over_block<Sum>(sum * (most == m ? 1.0F : expf(most - m)))};
}

// Gradient of a row of n logits; target, which may lie outside, has `at_target`.
template <typename T>
__device__ void write_gradient(T* gradient, const float* row, std::int64_t n, Softmax softmax, std::int64_t target,
                               float at_target, float gradient_scale, bool vectors) {
  const float factor = gradient_scale / softmax.z;
  for (std::int64_t k0 = threadIdx.x * kRun; k0 < n; k0 += kRowThreads * kRun) {
    float x[kRun];
    load(x, row + k0, n - k0, vectors);
#pragma unroll
    for (int k = 0; k < kRun; ++k) x[k] = expf(x[k] - softmax.m) * factor;
    if (k0 <= target && target < k0 + kRun) {
      const float off = (expf(at_target - softmax.m) / softmax.z - 1.0F) * gradient_scale;
#pragma unroll
      for (int k = 0; k < kRun; ++k) x[k] = k0 + k == target ? off : x[k];
    }
    store(gradient + k0, x, n - k0, vectors);
  }
}

// dlogits may be null, or the logits themselves.
template <typename T>
__global__ void __launch_bounds__(kRowThreads)
    cross_entropy_kernel(float* losses, T* dlogits, const float* logits, const std::int32_t* targets,
                         float gradient_scale, std::int64_t vocabulary, bool vectors) {
  const float* row = logits + blockIdx.x * vocabulary;
  const std::int32_t target = targets[blockIdx.x];
  device_check(0 <= target && target < vocabulary);
  const float at_target = row[target];
  const Softmax softmax = softmax_of(row, vocabulary, vectors);
  if (threadIdx.x == 0) losses[blockIdx.x] = softmax.m - at_target + logf(softmax.z);
  if (dlogits == nullptr) return;
  write_gradient(dlogits + blockIdx.x * vocabulary, row, vocabulary, softmax, target, at_target, gradient_scale,
                 vectors);
}

__global__ void __launch_bounds__(kRowThreads)
    cross_entropy_slice_kernel(float* losses, float* state, const float* logits, const std::int32_t* targets,
                               TableSlice slice, std::int64_t width, bool vectors) {
  const float* row = logits + blockIdx.x * width;
  const std::int64_t target = targets[blockIdx.x], column = target - slice.first;
  device_check(0 <= target && target < slice.vocab);
  const Softmax here = softmax_of(row, width, vectors);
  if (threadIdx.x != 0) return;
  float* own = state + blockIdx.x * 3;
  const bool begins = slice.first == 0;
  const float before = begins ? Largest::kNone : own[0], m = fmaxf(before, here.m);
  const float from = m == Largest::kNone ? 0.0F : m;
  const float z = (begins ? 0.0F : own[1] * expf(before - from)) + here.z * expf(here.m - from);
  const float at_target = 0 <= column && column < width ? row[column] : begins ? 0.0F : own[2];
  own[0] = m, own[1] = z, own[2] = at_target;
  if (slice.first + width == slice.vocab) losses[blockIdx.x] = m - at_target + logf(z);
}

template <typename T>
__global__ void __launch_bounds__(kRowThreads)
    cross_entropy_slice_backward_kernel(T* dlogits, const float* state, const float* logits,
                                        const std::int32_t* targets, TableSlice slice, float gradient_scale,
                                        std::int64_t width, bool vectors) {
  const float* own = state + blockIdx.x * 3;
  write_gradient(dlogits + blockIdx.x * width, logits + blockIdx.x * width, width, Softmax{own[0], own[1]},
                 targets[blockIdx.x] - slice.first, own[2], gradient_scale, vectors);
}

}  // namespace

void cross_entropy(Tensor losses, Tensor dlogits, ConstTensor logits, ConstTensor targets, float gradient_scale,
                   cudaStream_t stream) {
  const std::int64_t rows = logits.dim(0), vocabulary = logits.dim(1);
  with_float_type(dlogits ? dlogits.dtype : DType::kF32, [&]<typename T>(std::type_identity<T>) {
    launch(cross_entropy_kernel<T>, static_cast<unsigned>(rows), kRowThreads, 0, stream, losses.as<float>(),
           dlogits ? dlogits.as<T>() : nullptr, logits.as<float>(), targets.as<std::int32_t>(), gradient_scale,
           vocabulary, aligned(logits.data, dlogits.data) && vocabulary % kRun == 0);
  });
}

void cross_entropy_slice(Tensor losses, Tensor state, ConstTensor logits, ConstTensor targets, TableSlice slice,
                         cudaStream_t stream) {
  const std::int64_t rows = logits.dim(0), width = logits.dim(1);
  launch(cross_entropy_slice_kernel, static_cast<unsigned>(rows), kRowThreads, 0, stream, losses.as<float>(),
         state.as<float>(), logits.as<float>(), targets.as<std::int32_t>(), slice, width,
         aligned(logits.data) && width % kRun == 0);
}

void cross_entropy_slice_backward(Tensor dlogits, ConstTensor state, ConstTensor logits, ConstTensor targets,
                                  TableSlice slice, float gradient_scale, cudaStream_t stream) {
  const std::int64_t rows = logits.dim(0), width = logits.dim(1);
  with_float_type(dlogits.dtype, [&]<typename T>(std::type_identity<T>) {
    launch(cross_entropy_slice_backward_kernel<T>, static_cast<unsigned>(rows), kRowThreads, 0, stream, dlogits.as<T>(),
           state.as<float>(), logits.as<float>(), targets.as<std::int32_t>(), slice, gradient_scale, width,
           aligned(logits.data, dlogits.data) && width % kRun == 0);
  });
}

}  // namespace shardlora::cuda
