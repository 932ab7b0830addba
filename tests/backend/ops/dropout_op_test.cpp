// What dropout and NEFTune's noise promise: the rate, the scale, independence between places, and that a value depends
// on key, sample, position, place and column only.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/held.h"

namespace shardlora {
namespace {

struct Rows {
  Rows(const std::vector<std::int32_t>& samples, const std::vector<std::int32_t>& positions)
      : samples_(ints(samples)), positions_(ints(positions)) {}
  Noise noise(PhiloxKey key, std::uint32_t place) const { return {key, samples_, positions_, place}; }

 private:
  Held samples_, positions_;
};

constexpr std::int64_t kRows = 64, kColumns = 1000;  // no multiple of the kernel's lanes

Rows some_rows() {
  std::vector<std::int32_t> samples, positions;
  for (std::int32_t i = 0; i < kRows; ++i) {
    samples.push_back(i / 16);
    positions.push_back(i % 16);
  }
  return Rows(samples, positions);
}

Ops& ops() { return device_under_test().ops(); }

// dropout of ones: 0 or the scale.
Doubles mask(const Noise& noise, float p, std::int64_t rows = kRows) {
  const Held ones(DType::kF32, {rows, kColumns}, Doubles(static_cast<std::size_t>(rows * kColumns), 1.0)),
      y(DType::kF32, {rows, kColumns});
  ops().dropout(y, ones, noise, p, Accumulate::kNo);
  return y.values();
}

double kept(const Doubles& mask) {
  double count = 0;
  for (const double m : mask) count += m != 0 ? 1 : 0;
  return count;
}

TEST(Dropout, DropsAsOftenAsItSaysAndScalesWhatIsLeft) {
  const Rows rows = some_rows();
  for (const float p : {0.05F, 0.1F, 0.5F, 0.9F}) {
    const Doubles values = mask(rows.noise({1, 2}, 3), p);
    const auto n = static_cast<double>(values.size());
    const double expected = n * (1 - static_cast<double>(p)), sigma = std::sqrt(expected * static_cast<double>(p));
    EXPECT_NEAR(kept(values), expected, 5 * sigma) << p;
    for (const double v : values) EXPECT_TRUE(v == 0 || std::abs(v * (1 - static_cast<double>(p)) - 1) < 1e-3) << v;
  }
}

TEST(Dropout, OfNothingChangesNothing) {
  const Rows rows = some_rows();
  for (const double v : mask(rows.noise({1, 2}, 3), 0)) EXPECT_EQ(v, 1.0);
}

// Of two independent masks at p = 1/2 half the values agree.
void expect_independent(const Doubles& a, const Doubles& b, const char* what) {
  double agree = 0;
  for (std::size_t i = 0; i < a.size(); ++i) agree += a[i] == b[i] ? 1 : 0;
  const auto n = static_cast<double>(a.size());
  EXPECT_NEAR(agree, n / 2, 5 * std::sqrt(n) / 2) << what;
}

TEST(Dropout, IsIndependentBetweenPlacesKeysSamplesPositionsAndColumns) {
  const Rows rows = some_rows();
  const Doubles one = mask(rows.noise({1, 2}, 3), 0.5F);
  expect_independent(one, mask(rows.noise({1, 2}, 4), 0.5F), "another place");
  expect_independent(one, mask(rows.noise({1, 3}, 3), 0.5F), "another key");
  const auto shifted = [&](std::size_t by) {
    Doubles other = one;
    std::rotate(other.begin(), other.begin() + static_cast<std::ptrdiff_t>(by), other.end());
    return other;
  };
  expect_independent(one, shifted(1), "the next column");
  expect_independent(one, shifted(8), "the next block");
  expect_independent(one, shifted(kColumns), "the next position");
  expect_independent(one, shifted(16 * kColumns), "the next sample");
}

TEST(Dropout, OfARowDependsOnItsSampleAndPositionNotOnItsPlaceInTheBatch) {
  const Rows rows = some_rows();
  const Doubles whole = mask(rows.noise({1, 2}, 3), 0.5F);
  const Rows alone({2}, {5});  // row 37
  EXPECT_EQ(mask(alone.noise({1, 2}, 3), 0.5F, 1),
            Doubles(whole.begin() + 37 * kColumns, whole.begin() + 38 * kColumns));
}

TEST(Dropout, AddsTheSameMaskAsItWrites) {
  const Rows rows = some_rows();
  Doubles numbers(kRows * kColumns);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<double>(i % 97) - 48;
  const Held x(DType::kF32, {kRows, kColumns}, numbers), y(DType::kF32, {kRows, kColumns}),
      sum(DType::kF32, {kRows, kColumns}, Doubles(numbers.size(), 1.0));
  ops().dropout(y, x, rows.noise({1, 2}, 3), 0.25F, Accumulate::kNo);
  ops().dropout(sum, x, rows.noise({1, 2}, 3), 0.25F, Accumulate::kYes);
  const Doubles masked = y.values(), added = sum.values();
  for (std::size_t i = 0; i < masked.size(); ++i)
    EXPECT_EQ(static_cast<float>(added[i]), 1.0F + static_cast<float>(masked[i]));
}

TEST(Noise, OfASampleIsUniformWithinAlphaOverTheRootOfItsSize) {
  const Rows rows = some_rows();
  const Held held(DType::kF32, {kRows, kColumns}, Doubles(kRows * kColumns));
  const std::vector<std::int32_t> bounds{0, 4, 32, 64};
  constexpr float kAlpha = 5;
  ops().add_noise(held, rows.noise({1, 2}, 0), ints(bounds), kAlpha);
  const Doubles x = held.values();
  for (std::size_t s = 0; s + 1 < bounds.size(); ++s) {
    const auto size = static_cast<double>((bounds[s + 1] - bounds[s]) * kColumns), limit = kAlpha / std::sqrt(size);
    double mean = 0, square = 0, largest = 0;
    for (std::int64_t i = bounds[s] * kColumns; i < bounds[s + 1] * kColumns; ++i) {
      const double v = x[static_cast<std::size_t>(i)] / limit;
      mean += v / size;
      square += v * v / size;
      largest = std::max(largest, std::abs(v));
    }
    EXPECT_LE(largest, 1.0 + 1e-6);
    EXPECT_GT(largest, 0.99);
    EXPECT_NEAR(mean, 0, 5 / std::sqrt(3 * size));
    EXPECT_NEAR(square, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / size));
  }
}

}  // namespace
}  // namespace shardlora
