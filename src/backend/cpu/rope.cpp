// Rotary positions (Su et al., "RoFormer", 2021): the pair (x[k], x[k + D/2]) turns by positions[n] * inv_freq[k].
#include "backend/cpu/kernels.h"
#include "backend/fast_math.h"
#include "backend/float_type.h"

namespace shardlora::cpu {

namespace {
constexpr std::int64_t kPairs = 64;  // sines of so many pairs are kept at a time
}

void rope(Tensor x, ConstTensor positions, ConstTensor inv_freq, float sign) {
  with_float_type(x.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = x.dim(0), heads = x.dim(1), d = x.dim(2), half = d / 2;
    T* values = x.as<T>();
    const auto* position = positions.as<std::int32_t>();
    const float* frequency = inv_freq.as<float>();
#pragma omp parallel for schedule(static) if (x.numel() > kParallelValues)
    for (std::int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<float>(position[i]);
      for (std::int64_t begin = 0; begin < half; begin += kPairs) {
        const std::int64_t pairs = std::min(kPairs, half - begin);
        float sine[kPairs], cosine[kPairs];
#pragma omp simd
        for (std::int64_t k = 0; k < pairs; ++k) {
          sin_cos(at * frequency[begin + k], sine[k], cosine[k]);
          sine[k] *= sign;
        }
        for (std::int64_t h = 0; h < heads; ++h) {
          T *first = values + (i * heads + h) * d + begin, *second = first + half;
#pragma omp simd
          for (std::int64_t k = 0; k < pairs; ++k) {
            const float a = to_float(first[k]), b = to_float(second[k]);
            first[k] = from_float<T>(a * cosine[k] - b * sine[k]);
            second[k] = from_float<T>(b * cosine[k] + a * sine[k]);
          }
        }
      }
    }
  });
}

}  // namespace shardlora::cpu
