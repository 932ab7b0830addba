// RMSNorm (Zhang & Sennrich, 2019): y = round(x * s) * w with s = 1 / sqrt(mean(x^2) + eps).
// Backward, with n = x * s: dx = s * (w dy - n * mean(w dy n)).
//
// A warp takes a short row (the norms of heads), a block a long one. The order of a sum follows from width and dtype.
#include "backend/cuda/kernels.h"
#include "backend/cuda/reduce.h"
#include "backend/cuda/vector.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

namespace {

constexpr std::int64_t kShortRow = 1024;

// The threads that share a row, and which one this is of them.
template <bool kShort>
struct Sharing {
  static __device__ std::int64_t row() {
    return kShort ? (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32 : blockIdx.x;
  }
  static __device__ int thread() { return static_cast<int>(kShort ? threadIdx.x % 32 : threadIdx.x); }
  static constexpr int kThreadsOfRow = kShort ? 32 : kThreads;
  static __device__ float sum(float x) {
    if constexpr (kShort)
      return over_warp<Sum>(x);
    else
      return over_block<Sum>(x);
  }
};

template <typename T, bool kShort>
__global__ void __launch_bounds__(kThreads) rms_norm_kernel(T* y, float* inv_rms, const T* x, const float* w, float eps,
                                                            std::int64_t n, std::int64_t d, bool vectors) {
  using Row = Sharing<kShort>;
  constexpr int kRun = kWidth<T>, kStep = Row::kThreadsOfRow * kRun;
  const std::int64_t row = Row::row();
  if (row >= n) return;  // the whole warp leaves
  const T* in = x + row * d;
  float sum = 0.0F;
  for (std::int64_t k0 = Row::thread() * kRun; k0 < d; k0 += kStep) {
    float values[kRun];
    load(values, in + k0, d - k0, vectors);
#pragma unroll
    for (int k = 0; k < kRun; ++k) sum += values[k] * values[k];
  }
  const float s = 1.0F / sqrtf(Row::sum(sum) / static_cast<float>(d) + eps);
  if (Row::thread() == 0) inv_rms[row] = s;
  for (std::int64_t k0 = Row::thread() * kRun; k0 < d; k0 += kStep) {
    float values[kRun], weight[kRun];
    load(values, in + k0, d - k0, vectors);
    load(weight, w + k0, d - k0, vectors);
#pragma unroll
    for (int k = 0; k < kRun; ++k) values[k] = as_float(rounded<T>(values[k] * s)) * weight[k];
    store(y + row * d + k0, values, d - k0, vectors);
  }
}

template <typename T, bool kShort>
__global__ void __launch_bounds__(kThreads)
    rms_norm_backward_kernel(T* dx, const T* dy, const T* x, const float* inv_rms, const float* w, bool accumulate,
                             std::int64_t n, std::int64_t d, bool vectors) {
  using Row = Sharing<kShort>;
  constexpr int kRun = kWidth<T>, kStep = Row::kThreadsOfRow * kRun;
  const std::int64_t row = Row::row();
  if (row >= n) return;
  const T *in = x + row * d, *gradient = dy + row * d;
  T* out = dx + row * d;
  const float s = inv_rms[row];
  float sum = 0.0F;
  for (std::int64_t k0 = Row::thread() * kRun; k0 < d; k0 += kStep) {
    float values[kRun], weight[kRun], g[kRun];
    load(values, in + k0, d - k0, vectors);
    load(weight, w + k0, d - k0, vectors);
    load(g, gradient + k0, d - k0, vectors);
#pragma unroll
    for (int k = 0; k < kRun; ++k) sum += g[k] * weight[k] * (values[k] * s);
  }
  const float mean = Row::sum(sum) / static_cast<float>(d);
  for (std::int64_t k0 = Row::thread() * kRun; k0 < d; k0 += kStep) {
    float values[kRun], weight[kRun], g[kRun], before[kRun];
    load(values, in + k0, d - k0, vectors);
    load(weight, w + k0, d - k0, vectors);
    load(g, gradient + k0, d - k0, vectors);
    if (accumulate) load(before, out + k0, d - k0, vectors);
#pragma unroll
    for (int k = 0; k < kRun; ++k) {
      values[k] = s * (g[k] * weight[k] - values[k] * s * mean);
      if (accumulate) values[k] += before[k];
    }
    store(out + k0, values, d - k0, vectors);
  }
}

}  // namespace

void rms_norm(Tensor y, Tensor inv_rms, ConstTensor x, ConstTensor w, float eps, cudaStream_t stream) {
  const std::int64_t n = x.dim(0), d = x.dim(1);
  with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
    const bool vectors = aligned(y.data, x.data, w.data) && d % kWidth<T> == 0;
    const auto run = [&](auto kernel, unsigned blocks) {
      launch(kernel, blocks, kThreads, 0, stream, y.as<T>(), inv_rms.as<float>(), x.as<T>(), w.as<float>(), eps, n, d,
             vectors);
    };
    if (d <= kShortRow)
      run(rms_norm_kernel<T, true>, blocks_for(n, kThreads / 32));
    else
      run(rms_norm_kernel<T, false>, static_cast<unsigned>(n));
  });
}

void rms_norm_backward(Tensor dx, ConstTensor dy, ConstTensor x, ConstTensor inv_rms, ConstTensor w,
                       Accumulate accumulate, cudaStream_t stream) {
  const std::int64_t n = x.dim(0), d = x.dim(1);
  with_float_type(dx.dtype, [&]<typename T>(std::type_identity<T>) {
    const bool vectors = aligned(dx.data, dy.data, x.data, w.data) && d % kWidth<T> == 0;
    const auto run = [&](auto kernel, unsigned blocks) {
      launch(kernel, blocks, kThreads, 0, stream, dx.as<T>(), dy.as<T>(), x.as<T>(), inv_rms.as<float>(), w.as<float>(),
             accumulate == Accumulate::kYes, n, d, vectors);
    };
    if (d <= kShortRow)
      run(rms_norm_backward_kernel<T, true>, blocks_for(n, kThreads / 32));
    else
      run(rms_norm_backward_kernel<T, false>, static_cast<unsigned>(n));
  });
}

}  // namespace shardlora::cuda
