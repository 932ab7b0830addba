// exp, sin and cos of one float without branches or calls, so that a loop over them becomes vector code. Cody and
// Waite's argument reduction ("Software Manual for the Elementary Functions", 1980) with our own minimax polynomials;
// every product and sum that must not round twice is an explicit fma. Host and device get the same bits.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "base/host_device.h"

namespace shardlora {

// Added to a small float, leaves the nearest integer in the low bits of the sum.
inline constexpr float kRoundToInteger = 12582912.0F;  // 1.5 * 2^23

// 2^n for n in [-126, 127].
[[gnu::always_inline]] HOST_DEVICE inline float power_of_two(std::uint32_t n) {
  return std::bit_cast<float>((n + 127U) << 23U);
}

// e^x within 2 ulp; exact zeros below -104, subnormals above that, infinity from 88.73 on, NaN for NaN.
[[gnu::always_inline]] HOST_DEVICE inline float fast_exp(float x) {
  constexpr float kLog2E = 1.44269504F, kLn2High = 0.693145751953125F, kLn2Low = 1.42860677e-6F;
  x = x > 89.0F ? 89.0F : x;
  x = x < -105.0F ? -105.0F : x;
  const float shifted = __builtin_fmaf(x, kLog2E, kRoundToInteger);
  const float n = shifted - kRoundToInteger;
  float r = __builtin_fmaf(n, -kLn2High, x);
  r = __builtin_fmaf(n, -kLn2Low, r);
  float p = 1.97902438e-4F;  // (e^r - 1 - r) / r^2
  p = __builtin_fmaf(p, r, 1.39447585e-3F);
  p = __builtin_fmaf(p, r, 8.33349767e-3F);
  p = __builtin_fmaf(p, r, 4.16662936e-2F);
  p = __builtin_fmaf(p, r, 1.66666659e-1F);
  p = __builtin_fmaf(p, r, 5.00000007e-1F);
  p = __builtin_fmaf(p * r, r, r) + 1.0F;
  // Two factors: n reaches -152 and 128, one exponent does not.
  const auto integer =
      static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(kRoundToInteger));
  const std::int32_t half = integer >> 1;
  return p * power_of_two(static_cast<std::uint32_t>(half)) * power_of_two(static_cast<std::uint32_t>(integer - half));
}

// 1 / (1 + e^-x).
[[gnu::always_inline]] HOST_DEVICE inline float sigmoid(float x) { return 1.0F / (1.0F + fast_exp(-x)); }

// sin x and cos x within 1.2e-7 for |x| <= 2^18.
[[gnu::always_inline]] HOST_DEVICE inline void sin_cos(float x, float& sine, float& cosine) {
  // pi / 2 in three floats: n * kA is subtracted without an error, the rest is small.
  constexpr float kTwoOverPi = 0.636619772F, kA = 1.57079637F, kB = -4.37113883e-8F, kC = -1.71512489e-15F;
  const float shifted = __builtin_fmaf(x, kTwoOverPi, kRoundToInteger);
  const float n = shifted - kRoundToInteger;
  float r = __builtin_fmaf(n, -kA, x);
  r = __builtin_fmaf(n, -kB, r);
  r = __builtin_fmaf(n, -kC, r);
  const float r2 = r * r;
  float s = __builtin_fmaf(2.71823728e-6F, r2, -1.98393271e-4F);
  s = __builtin_fmaf(s, r2, 8.33332936e-3F);
  s = __builtin_fmaf(s, r2, -1.66666666e-1F);
  s = __builtin_fmaf(s * r2, r, r);
  float c = __builtin_fmaf(2.44377301e-5F, r2, -1.38873614e-3F);
  c = __builtin_fmaf(c, r2, 4.16666467e-2F);
  c = __builtin_fmaf(c * r2, r2, __builtin_fmaf(-0.5F, r2, 1.0F));
  const std::uint32_t quadrant = std::bit_cast<std::uint32_t>(shifted);
  const std::uint32_t swap = 0U - (quadrant & 1U);  // all ones where sine and cosine change places
  const std::uint32_t s_bits = std::bit_cast<std::uint32_t>(s), c_bits = std::bit_cast<std::uint32_t>(c);
  const std::uint32_t sine_bits = (c_bits & swap) | (s_bits & ~swap), cosine_bits = (s_bits & swap) | (c_bits & ~swap);
  sine = std::bit_cast<float>(sine_bits ^ ((quadrant & 2U) << 30U));
  cosine = std::bit_cast<float>(cosine_bits ^ (((quadrant + 1U) & 2U) << 30U));
}

}  // namespace shardlora
