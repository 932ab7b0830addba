// f16 numbers by the CPU's own instructions where the target has them, as x86-64-v3 does: some fifteen operations
// fewer than the portable ones of tensor/dtype.h, whose bits these have, but for what they leave of a NaN.
#pragma once

#ifdef __F16C__
#include <immintrin.h>
#endif

#include "tensor/dtype.h"

namespace shardlora::cpu {

// A NaN comes back quiet, as any operation on it leaves it.
[[gnu::always_inline]] inline float f16_to_float(F16 x) {
#ifdef __F16C__
  return _cvtsh_ss(x.bits);
#else
  return to_float(x);
#endif
}

// kCount numbers or infinities, rounded.
template <int kCount>
[[gnu::always_inline]] inline void round_numbers(F16* to, const float* from) {
#ifdef __F16C__
  static_assert(kCount % 8 == 0);
#pragma GCC unroll 4
  for (int i = 0; i < kCount; i += 8) {
    const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), halves);
  }
#else
#pragma omp simd
  for (int i = 0; i < kCount; ++i) to[i] = to_f16(from[i]);
#endif
}

}  // namespace shardlora::cpu
