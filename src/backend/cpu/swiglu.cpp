// SwiGLU (Shazeer, "GLU variants improve transformer", 2020): y = g s(g) u with s(g) = 1 / (1 + e^-g).
// Backward: du = dy g s, dg = dy u s (1 + g (1 - s)).
#include "backend/cpu/kernels.h"
#include "backend/fast_math.h"
#include "backend/float_type.h"

namespace shardlora::cpu {

void swiglu(Tensor y, ConstTensor gate, ConstTensor up) {
  with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = y.numel();
    T* out = y.as<T>();
    const T *gates = gate.as<T>(), *ups = up.as<T>();
#pragma omp parallel for simd schedule(static) if (n > kParallelValues)
    for (std::int64_t i = 0; i < n; ++i) {
      const float g = to_float(gates[i]);
      out[i] = from_float<T>(g * sigmoid(g) * to_float(ups[i]));
    }
  });
}

void swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up) {
  with_float_type(dgate.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = dgate.numel();
    T *dgates = dgate.as<T>(), *dups = dup.as<T>();
    const T *gradient = dy.as<T>(), *gates = gate.as<T>(), *ups = up.as<T>();
    // simd: outputs may be inputs, element by element.
#pragma omp parallel for simd schedule(static) if (n > kParallelValues)
    for (std::int64_t i = 0; i < n; ++i) {
      const float g = to_float(gates[i]), u = to_float(ups[i]), d = to_float(gradient[i]);
      const float s = sigmoid(g);
      dups[i] = from_float<T>(d * (g * s));
      dgates[i] = from_float<T>(d * u * (s * (1.0F + g * (1.0F - s))));
    }
  });
}

}  // namespace shardlora::cpu
