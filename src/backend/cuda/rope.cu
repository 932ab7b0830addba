// Rotary positions (Su et al., "RoFormer", 2021): the pair (x[k], x[k + D/2]) turns by positions[n] * inv_freq[k].
// A block turns one row: its sines are made once for all heads. The CPU's bits: its sin_cos, and products and sums that
// round separately.
#include "backend/cuda/kernels.h"
#include "backend/cuda/separate.h"
#include "backend/cuda/vector.h"
#include "backend/fast_math.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

namespace {

template <typename T>
__global__ void __launch_bounds__(kThreads) rope_kernel(T* x, const std::int32_t* positions, const float* inv_freq,
                                                        float sign, int heads, int half, bool vectors) {
  constexpr int kRun = kWidth<T>;
  float *sine = dynamic_shared<float>(), *cosine = sine + half;
  const auto at = static_cast<float>(positions[blockIdx.x]);
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  for (int k = thread; k < half; k += threads) {
    sin_cos(at * inv_freq[k], sine[k], cosine[k]);
    sine[k] *= sign;
  }
  __syncthreads();
  T* row = x + static_cast<std::int64_t>(blockIdx.x) * heads * 2 * half;
  const int runs = (half + kRun - 1) / kRun;
  for (int i = thread; i < heads * runs; i += threads) {
    const int k0 = i % runs * kRun;
    T *first = row + i / runs * 2 * half + k0, *second = first + half;
    float a[kRun], b[kRun];
    load(a, first, half - k0, vectors);
    load(b, second, half - k0, vectors);
#pragma unroll
    for (int k = 0; k < kRun; ++k) {
      if (k0 + k >= half) break;
      const Separate c = cosine[k0 + k], s = sine[k0 + k], x1 = a[k], x2 = b[k];
      a[k] = (x1 * c - x2 * s).value;
      b[k] = (x2 * c + x1 * s).value;
    }
    store(first, a, half - k0, vectors);
    store(second, b, half - k0, vectors);
  }
}

}  // namespace

void rope(Tensor x, ConstTensor positions, ConstTensor inv_freq, float sign, cudaStream_t stream) {
  const auto heads = static_cast<int>(x.dim(1)), half = static_cast<int>(x.dim(2) / 2);
  with_float_type(x.dtype, [&]<typename T>(std::type_identity<T>) {
    const RowGrid row(1, static_cast<std::int64_t>(heads) * half, kWidth<T>);
    launch(rope_kernel<T>, static_cast<unsigned>(x.dim(0)), row.threads,
           sizeof(float) * 2 * static_cast<unsigned>(half), stream, x.as<T>(), positions.as<std::int32_t>(),
           inv_freq.as<float>(), sign, heads, half, aligned(x.data) && half % kWidth<T> == 0);
  });
}

}  // namespace shardlora::cuda
