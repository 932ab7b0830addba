// The optimiser's passes over a shard: the update of optim/adamw.h on every value, and sums of squares for the gradient
// norm.
#include "backend/cpu/kernels.h"
#include "backend/float_type.h"
#include "tensor/pages.h"

namespace shardlora::cpu {

void adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step, float gradient_scale) {
  const std::int64_t n = master.numel();
  float *values = master.as<float>(), *first = m.as<float>(), *second = v.as<float>();
  const float* g = gradient.as<float>();
  const AdamWStep s = step;
#pragma omp parallel for simd schedule(static) if (n > kParallelValues)
  for (std::int64_t i = 0; i < n; ++i) shardlora::adamw(values[i], first[i], second[i], g[i] * gradient_scale, s);
}

void sums_of_squares(Tensor sums, ConstTensor x) {
  const std::int64_t n = x.numel(), blocks = sums.numel();
  const float* values = x.as<float>();
  float* out = sums.as<float>();
#pragma omp parallel for schedule(static) if (n > kParallelValues)
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t end = std::min(n, (b + 1) * kElementBlock);
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = b * kElementBlock; i < end; ++i) sum += values[i] * values[i];
    out[b] = sum;
  }
}

}  // namespace shardlora::cpu
