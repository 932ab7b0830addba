#include "backend/fast_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace shardlora {
namespace {

// Distance in units of the last place of `want`.
double ulps(float got, double want) {
  const auto nearest = static_cast<float>(want);
  const double ulp =
      static_cast<double>(std::nextafter(std::abs(nearest), INFINITY)) - static_cast<double>(std::abs(nearest));
  return std::abs(static_cast<double>(got) - want) / ulp;
}

TEST(FastExp, IsWithinTwoUlpOverItsWholeRange) {
  double most = 0;
  for (int i = 0; i < 2'000'000; ++i) {
    const float x = -87.3F + 176.0F * static_cast<float>(i) / 2e6F;
    most = std::max(most, ulps(fast_exp(x), std::exp(static_cast<double>(x))));
  }
  for (int i = 0; i < 400'000; ++i) {  // near 0, where it must come close to 1 + x
    const float x = (i % 2 == 0 ? 1.0F : -1.0F) * std::exp2(-static_cast<float>(i) / 16000.0F);
    most = std::max(most, ulps(fast_exp(x), std::exp(static_cast<double>(x))));
  }
  EXPECT_LE(most, 2.0);
  RecordProperty("ulp", std::to_string(most));
}

TEST(FastExp, EndsInZeroAndInfinityAndKeepsNaN) {
  EXPECT_EQ(fast_exp(0.0F), 1.0F);
  EXPECT_EQ(fast_exp(-0.0F), 1.0F);
  EXPECT_EQ(fast_exp(-104.5F), 0.0F);
  EXPECT_EQ(fast_exp(-std::numeric_limits<float>::infinity()), 0.0F);
  EXPECT_EQ(fast_exp(89.0F), std::numeric_limits<float>::infinity());
  EXPECT_EQ(fast_exp(std::numeric_limits<float>::infinity()), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(fast_exp(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_NEAR(static_cast<double>(fast_exp(-95.0F)), std::exp(-95.0), 0x1p-149);  // subnormal
}

TEST(SinCos, IsWithinTwoRoundingsUpToTheLongestContexts) {
  double most = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    const float x =
        (i % 2 == 0 ? 1.0F : -1.0F) * (i < 500'000 ? static_cast<float>(i) * 1e-4F : static_cast<float>(i) * 0.2621F);
    float sine, cosine;
    sin_cos(x, sine, cosine);
    most = std::max(most, std::abs(static_cast<double>(sine) - std::sin(static_cast<double>(x))));
    most = std::max(most, std::abs(static_cast<double>(cosine) - std::cos(static_cast<double>(x))));
  }
  EXPECT_LE(most, 0x1p-23);
}

}  // namespace
}  // namespace shardlora
