// SwiGLU (Shazeer, "GLU variants improve transformer", 2020): y = g s(g) u with s(g) = 1 / (1 + e^-g).
// Backward: du = dy g s, dg = dy u s (1 + g (1 - s)). The CPU's bits: its sigmoid, and products and sums that round
// separately.
#include "backend/cuda/kernels.h"
#include "backend/cuda/separate.h"
#include "backend/cuda/vector.h"
#include "backend/fast_math.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

namespace {

template <typename T>
__global__ void swiglu_kernel(T* y, const T* gate, const T* up, std::int64_t n, bool vectors) {
  constexpr int kRun = kWidth<T>;
  const std::int64_t i = run_begin(kRun);
  float g[kRun], u[kRun];
  load(g, gate + i, n - i, vectors);
  load(u, up + i, n - i, vectors);
#pragma unroll
  for (int k = 0; k < kRun; ++k) g[k] = g[k] * sigmoid(g[k]) * u[k];
  store(y + i, g, n - i, vectors);
}

template <typename T>
__global__ void swiglu_backward_kernel(T* dgate, T* dup, const T* dy, const T* gate, const T* up, std::int64_t n,
                                       bool vectors) {
  constexpr int kRun = kWidth<T>;
  const std::int64_t i = run_begin(kRun);
  float g[kRun], u[kRun], d[kRun];
  load(g, gate + i, n - i, vectors);
  load(u, up + i, n - i, vectors);
  load(d, dy + i, n - i, vectors);
#pragma unroll
  for (int k = 0; k < kRun; ++k) {
    const Separate x = g[k], dy_k = d[k], s = sigmoid(g[k]);
    g[k] = (dy_k * u[k] * (s * (1.0F + x * (1.0F - s)))).value;
    u[k] = (dy_k * (x * s)).value;
  }
  // Outputs may be inputs: this thread has read all that it writes over.
  store(dup + i, u, n - i, vectors);
  store(dgate + i, g, n - i, vectors);
}

}  // namespace

void swiglu(Tensor y, ConstTensor gate, ConstTensor up, cudaStream_t stream) {
  with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = y.numel();
    launch(swiglu_kernel<T>, blocks_for(n, kThreads * kWidth<T>), kThreads, 0, stream, y.as<T>(), gate.as<T>(),
           up.as<T>(), n, aligned(y.data, gate.data, up.data));
  });
}

void swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up, cudaStream_t stream) {
  with_float_type(dgate.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = dgate.numel();
    launch(swiglu_backward_kernel<T>, blocks_for(n, kThreads * kWidth<T>), kThreads, 0, stream, dgate.as<T>(),
           dup.as<T>(), dy.as<T>(), gate.as<T>(), up.as<T>(), n,
           aligned(dgate.data, dup.data, dy.data, gate.data, up.data));
  });
}

}  // namespace shardlora::cuda
