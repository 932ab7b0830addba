// The optimiser's passes over a shard: the update of optim/adamw.h on every value, with the CPU's bits, and sums of
// squares for the gradient norm.
#include "backend/cuda/kernels.h"
#include "backend/cuda/reduce.h"
#include "backend/cuda/separate.h"
#include "backend/cuda/vector.h"
#include "tensor/pages.h"

namespace shardlora::cuda {

namespace {

constexpr int kRun = kWidth<float>;

__global__ void adamw_kernel(float* master, float* m, float* v, const float* gradient, AdamWStep step,
                             float gradient_scale, std::int64_t n, bool vectors) {
  const std::int64_t i = run_begin(kRun);
  float value[kRun], first[kRun], second[kRun], g[kRun];
  load(value, master + i, n - i, vectors);
  load(first, m + i, n - i, vectors);
  load(second, v + i, n - i, vectors);
  load(g, gradient + i, n - i, vectors);
#pragma unroll
  for (int k = 0; k < kRun; ++k) {
    Separate x = value[k], mean = first[k], square = second[k];
    shardlora::adamw(x, mean, square, Separate(g[k]) * gradient_scale, step);
    value[k] = x.value;
    first[k] = mean.value;
    second[k] = square.value;
  }
  store(master + i, value, n - i, vectors);
  store(m + i, first, n - i, vectors);
  store(v + i, second, n - i, vectors);
}

__global__ void __launch_bounds__(kThreads)
    sums_of_squares_kernel(float* sums, const float* x, std::int64_t n, bool vectors) {
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kElementBlock;
  float sum = 0.0F;
#pragma unroll
  for (std::int64_t k0 = 0; k0 < kElementBlock; k0 += kThreads * kRun) {
    const std::int64_t i = begin + k0 + threadIdx.x * kRun;
    float values[kRun];
    load(values, x + i, n - i, vectors);
#pragma unroll
    for (int k = 0; k < kRun; ++k) sum += values[k] * values[k];
  }
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

}  // namespace

void adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step, float gradient_scale,
           cudaStream_t stream) {
  const std::int64_t n = master.numel();
  launch(adamw_kernel, blocks_for(n, kThreads * kRun), kThreads, 0, stream, master.as<float>(), m.as<float>(),
         v.as<float>(), gradient.as<float>(), step, gradient_scale, n,
         aligned(master.data, m.data, v.data, gradient.data));
}

void sums_of_squares(Tensor sums, ConstTensor x, cudaStream_t stream) {
  static_assert(kElementBlock % (kThreads * kRun) == 0);
  launch(sums_of_squares_kernel, static_cast<unsigned>(sums.numel()), kThreads, 0, stream, sums.as<float>(),
         x.as<float>(), x.numel(), aligned(x.data));
}

}  // namespace shardlora::cuda
