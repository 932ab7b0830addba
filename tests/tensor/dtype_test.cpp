#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace shardlora {
namespace {

// Its definition: (-1)^sign 2^(exponent - 15) (1 + mantissa / 1024), without the 1 where the exponent is 0.
double meaning(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  double value = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  if (exponent == 31) value = mantissa == 0 ? INFINITY : NAN;
  return (bits & 0x8000) != 0 ? -value : value;
}

TEST(F16, IsReadAsIeee754Says) {
  for (unsigned i = 0; i < 65536; ++i) {
    const F16 half{static_cast<std::uint16_t>(i)};
    const double want = meaning(half.bits), got = static_cast<double>(to_float(half));
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got)) << i;
      EXPECT_TRUE(std::isnan(to_float(to_f16(to_float(half))))) << i;
      continue;
    }
    EXPECT_EQ(got, want) << i;
    EXPECT_EQ(std::signbit(got), std::signbit(want)) << i;
    EXPECT_EQ(to_f16(to_float(half)).bits, half.bits);
  }
}

// Between every two neighbours: their middle goes to the even one, what lies beside it to the nearer one.
TEST(F16, IsRoundedToTheNearestAndTiesToEven) {
  for (unsigned i = 0; i < 0x7C00; ++i) {
    const auto below = static_cast<std::uint16_t>(i), above = static_cast<std::uint16_t>(i + 1);
    const double next = above == 0x7C00 ? 65536 : meaning(above);
    const auto middle = static_cast<float>((meaning(below) + next) / 2);
    for (const bool negative : {false, true}) {
      const unsigned sign = negative ? 0x8000 : 0;
      const auto bits = [&](float x) { return to_f16(negative ? -x : x).bits - sign; };
      EXPECT_EQ(bits(middle), i % 2 == 0 ? below : above) << i;
      EXPECT_EQ(bits(std::nextafter(middle, 0.0F)), below) << i;
      EXPECT_EQ(bits(std::nextafter(middle, INFINITY)), above) << i;
    }
  }
  for (const float x : {65520.0F, 1e10F, std::numeric_limits<float>::max(), INFINITY}) {
    EXPECT_EQ(to_f16(x).bits, 0x7C00) << x;
    EXPECT_EQ(to_f16(-x).bits, 0xFC00) << x;
  }
  for (const float x : {0.0F, 1e-40F, 0x1p-26F}) EXPECT_EQ(to_f16(-x).bits, 0x8000) << x;
}

}  // namespace
}  // namespace shardlora
