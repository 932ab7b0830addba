// cast, zero, add, scale.
#include <cstring>

#include "backend/cpu/kernels.h"
#include "backend/float_type.h"

namespace shardlora::cpu {

void cast(Tensor y, ConstTensor x) {
  with_float_type(y.dtype, [&]<typename To>(std::type_identity<To>) {
    with_float_type(x.dtype, [&]<typename From>(std::type_identity<From>) {
      const std::int64_t n = y.numel();
      To* to = y.as<To>();
      const From* from = x.as<From>();
#pragma omp parallel for simd schedule(static) if (n > kParallelValues)
      for (std::int64_t i = 0; i < n; ++i) to[i] = from_float<To>(to_float(from[i]));
    });
  });
}

void zero(Tensor y) {
  constexpr std::int64_t kChunk = 1 << 20;
  const auto bytes = static_cast<std::int64_t>(y.bytes());
#pragma omp parallel for schedule(static) if (bytes > kChunk)
  for (std::int64_t begin = 0; begin < bytes; begin += kChunk)
    std::memset(y.data + begin, 0, static_cast<std::size_t>(std::min(kChunk, bytes - begin)));
}

void add(Tensor y, ConstTensor a, ConstTensor b) {
  with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = y.numel();
    T* sum = y.as<T>();
    const T *left = a.as<T>(), *right = b.as<T>();
    // simd: y may be a or b, element by element.
#pragma omp parallel for simd schedule(static) if (n > kParallelValues)
    for (std::int64_t i = 0; i < n; ++i) sum[i] = from_float<T>(to_float(left[i]) + to_float(right[i]));
  });
}

}  // namespace shardlora::cpu
