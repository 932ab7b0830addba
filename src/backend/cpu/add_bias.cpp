// A bias in every row: y[i, k] += bias[k].
#include "backend/cpu/kernels.h"
#include "backend/float_type.h"

namespace shardlora::cpu {

void add_bias(Tensor y, ConstTensor bias) {
  with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = y.dim(0), d = y.dim(1);
    T* values = y.as<T>();
    const float* add = bias.as<float>();
#pragma omp parallel for schedule(static) if (n * d > kParallelValues)
    for (std::int64_t i = 0; i < n; ++i) {
      T* row = values + i * d;
#pragma omp simd
      for (std::int64_t k = 0; k < d; ++k) row[k] = from_float<T>(to_float(row[k]) + add[k]);
    }
  });
}

}  // namespace shardlora::cpu
