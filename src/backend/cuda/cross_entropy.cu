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

// dlogits may be null, or the logits themselves.
template <typename T>
__global__ void __launch_bounds__(kRowThreads)
    cross_entropy_kernel(float* losses, T* dlogits, const float* logits, const std::int32_t* targets,
                         float gradient_scale, std::int64_t vocabulary, bool vectors) {
  const float* row = logits + blockIdx.x * vocabulary;
  const std::int32_t target = targets[blockIdx.x];
  device_check(0 <= target && target < vocabulary);
  const float at_target = row[target];
  const std::int64_t begin = threadIdx.x * kRun, step = kRowThreads * kRun;

  float most = Largest::kNone, sum = 0.0F;
  for (std::int64_t k0 = begin; k0 < vocabulary; k0 += step) {
    float x[kRun];
    load(x, row + k0, vocabulary - k0, vectors);
    if (vocabulary - k0 < kRun)
#pragma unroll
      for (int k = 1; k < kRun; ++k) x[k] = k0 + k < vocabulary ? x[k] : Largest::kNone;
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
  const float z = over_block<Sum>(sum * expf(most - m));
  if (threadIdx.x == 0) losses[blockIdx.x] = m - at_target + logf(z);
  if (dlogits == nullptr) return;

  T* gradient = dlogits + blockIdx.x * vocabulary;
  const float factor = gradient_scale / z;
  for (std::int64_t k0 = begin; k0 < vocabulary; k0 += step) {
    float x[kRun];
    load(x, row + k0, vocabulary - k0, vectors);
#pragma unroll
    for (int k = 0; k < kRun; ++k) x[k] = expf(x[k] - m) * factor;
    if (k0 <= target && target < k0 + kRun) {
      const float off = (expf(at_target - m) / z - 1.0F) * gradient_scale;
#pragma unroll
      for (int k = 0; k < kRun; ++k) x[k] = k0 + k == target ? off : x[k];
    }
    store(gradient + k0, x, vocabulary - k0, vectors);
  }
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

}  // namespace shardlora::cuda
