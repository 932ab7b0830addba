// The optimiser's pass over a shard: the update of optim/adamw.h on every value.
#include "backend/cpu/kernels.h"

namespace shardlora::cpu {

void adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step, float gradient_scale) {
  const std::int64_t n = master.numel();
  float *values = master.as<float>(), *first = m.as<float>(), *second = v.as<float>();
  const float* g = gradient.as<float>();
  const AdamWStep s = step;
#pragma omp parallel for simd schedule(static) if (n > kParallelValues)
  for (std::int64_t i = 0; i < n; ++i) shardlora::adamw(values[i], first[i], second[i], g[i] * gradient_scale, s);
}

}  // namespace shardlora::cpu
