// The optimiser's passes over a shard: the update of optim/adamw.h on every value, and sums of squares for the
// gradient norm in the order of optim/sum_of_squares.h, both with the CPU's bits.
#include "backend/cuda/kernels.h"
#include "backend/cuda/reduce.h"
#include "backend/cuda/separate.h"
#include "backend/cuda/vector.h"
#include "optim/sum_of_squares.h"

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

// A thread adds up kRun lanes of the order; the first warp folds the warps' lanes, then its own.
__global__ void __launch_bounds__(kThreads)
    sums_of_squares_kernel(float* sums, const float* x, std::int64_t n, bool vectors) {
  constexpr int kWarps = kThreads / 32, kOfWarp = 32 * kRun;
  static_assert(kThreads * kRun == kSquareLanes);
  __shared__ float lanes[kSquareLanes];
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kElementBlock;
  const int first = static_cast<int>(threadIdx.x) * kRun;
  Separate sum[kRun] = {0.0F, 0.0F, 0.0F, 0.0F};
#pragma unroll
  for (int i = 0; i < kSquaresOfLane; ++i) {
    const std::int64_t at = begin + i * kSquareLanes + first;
    float values[kRun];
    load(values, x + at, n - at, vectors);
#pragma unroll
    for (int k = 0; k < kRun; ++k) sum[k] += Separate(values[k]) * values[k];
  }
#pragma unroll
  for (int k = 0; k < kRun; ++k) lanes[first + k] = sum[k].value;
  __syncthreads();
  if (threadIdx.x >= 32) return;
#pragma unroll
  for (int k = 0; k < kRun; ++k) {
    float of_warp[kWarps];
#pragma unroll
    for (int w = 0; w < kWarps; ++w) of_warp[w] = lanes[w * kOfWarp + first + k];
    fold_by_halves(of_warp);
    sum[k] = over_warp<Sum>(of_warp[0]);
  }
  fold_by_halves(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum[0].value;
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
  launch(sums_of_squares_kernel, static_cast<unsigned>(sums.numel()), kThreads, 0, stream, sums.as<float>(),
         x.as<float>(), x.numel(), aligned(x.data));
}

}  // namespace shardlora::cuda
