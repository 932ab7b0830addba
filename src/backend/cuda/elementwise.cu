// cast, zero, add, scale: each value by itself, in f32, rounded once. The CPU's bits.
#include "backend/cuda/kernels.h"
#include "backend/cuda/vector.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

namespace {

template <typename To, typename From>
__global__ void cast_kernel(To* y, const From* x, std::int64_t n, bool vectors) {
  constexpr int kRun = kWidth<To, From>;
  const std::int64_t i = run_begin(kRun);
  float values[kRun];
  load(values, x + i, n - i, vectors);
  store(y + i, values, n - i, vectors);
}

template <typename T>
__global__ void add_kernel(T* y, const T* a, const T* b, std::int64_t n, bool vectors) {
  constexpr int kRun = kWidth<T>;
  const std::int64_t i = run_begin(kRun);
  float left[kRun], right[kRun];
  load(left, a + i, n - i, vectors);
  load(right, b + i, n - i, vectors);
#pragma unroll
  for (int k = 0; k < kRun; ++k) left[k] += right[k];
  store(y + i, left, n - i, vectors);
}

}  // namespace

void cast(Tensor y, ConstTensor x, cudaStream_t stream) {
  with_float_type(y.dtype, [&]<typename To>(std::type_identity<To>) {
    with_float_type(x.dtype, [&]<typename From>(std::type_identity<From>) {
      const std::int64_t n = y.numel();
      launch(cast_kernel<To, From>, blocks_for(n, kThreads * kWidth<To, From>), kThreads, 0, stream, y.as<To>(),
             x.as<From>(), n, aligned(y.data, x.data));
    });
  });
}

void zero(Tensor y, cudaStream_t stream) { check(cudaMemsetAsync(y.data, 0, y.bytes(), stream), "clearing memory"); }

void add(Tensor y, ConstTensor a, ConstTensor b, cudaStream_t stream) {
  with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = y.numel();
    launch(add_kernel<T>, blocks_for(n, kThreads * kWidth<T>), kThreads, 0, stream, y.as<T>(), a.as<T>(), b.as<T>(), n,
           aligned(y.data, a.data, b.data));
  });
}

}  // namespace shardlora::cuda
