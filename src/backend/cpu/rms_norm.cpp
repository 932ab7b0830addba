// RMSNorm (Zhang & Sennrich, 2019): y = round(x * s) * w with s = 1 / sqrt(mean(x^2) + eps).
// Backward, with n = x * s: dx = s * (w dy - n * mean(w dy n)).
#include <cmath>

#include "backend/cpu/kernels.h"
#include "backend/float_type.h"

namespace shardlora::cpu {

void rms_norm(Tensor y, Tensor inv_rms, ConstTensor x, ConstTensor w, float eps) {
  with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = x.dim(0), d = x.dim(1);
    T* out = y.as<T>();
    const T* in = x.as<T>();
    const float* weight = w.as<float>();
    float* inverse = inv_rms.as<float>();
#pragma omp parallel for schedule(static) if (n * d > kParallelValues)
    for (std::int64_t i = 0; i < n; ++i) {
      const T* row = in + i * d;
      T* to = out + i * d;
      float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t k = 0; k < d; ++k) sum += to_float(row[k]) * to_float(row[k]);
      const float s = 1.0F / std::sqrt(sum / static_cast<float>(d) + eps);
      inverse[i] = s;
#pragma omp simd
      for (std::int64_t k = 0; k < d; ++k)
        to[k] = from_float<T>(to_float(from_float<T>(to_float(row[k]) * s)) * weight[k]);
    }
  });
}

void rms_norm_backward(Tensor dx, ConstTensor dy, ConstTensor x, ConstTensor inv_rms, ConstTensor w,
                       Accumulate accumulate) {
  with_float_type(dx.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = x.dim(0), d = x.dim(1);
    T* out = dx.as<T>();
    const T *in = x.as<T>(), *gradient = dy.as<T>();
    const float *weight = w.as<float>(), *inverse = inv_rms.as<float>();
#pragma omp parallel for schedule(static) if (n * d > kParallelValues)
    for (std::int64_t i = 0; i < n; ++i) {
      const T *row = in + i * d, *g = gradient + i * d;
      T* to = out + i * d;
      const float s = inverse[i];
      float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t k = 0; k < d; ++k) sum += to_float(g[k]) * weight[k] * (to_float(row[k]) * s);
      const float mean = sum / static_cast<float>(d);
      if (accumulate == Accumulate::kNo) {
#pragma omp simd
        for (std::int64_t k = 0; k < d; ++k)
          to[k] = from_float<T>(s * (to_float(g[k]) * weight[k] - to_float(row[k]) * s * mean));
      } else {
#pragma omp simd
        for (std::int64_t k = 0; k < d; ++k)
          to[k] = from_float<T>(to_float(to[k]) + s * (to_float(g[k]) * weight[k] - to_float(row[k]) * s * mean));
      }
    }
  });
}

}  // namespace shardlora::cpu
