// What dropout and NEFTune's noise promise: the rate, the scale, independence between places, and that a value depends
// on key, sample, position, place and column only.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/kernels.h"

namespace shardlora {
namespace {

#ifdef __SANITIZE_THREAD__  // it does not see libgomp's barriers; a device gives kernels one thread for that reason
[[maybe_unused]] const bool kOneThread = (omp_set_num_threads(1), true);
#endif

struct Rows {
  explicit Rows(std::vector<std::int32_t> samples, std::vector<std::int32_t> positions)
      : samples_(std::move(samples)), positions_(std::move(positions)) {}
  Noise noise(PhiloxKey key, std::uint32_t place) const { return {key, ints(samples_), ints(positions_), place}; }
  static ConstTensor ints(const std::vector<std::int32_t>& v) {
    return {reinterpret_cast<const std::byte*>(v.data()), DType::kI32, {std::ssize(v)}};
  }

 private:
  std::vector<std::int32_t> samples_, positions_;
};

Tensor matrix(std::vector<float>& values, std::int64_t rows) {
  return {reinterpret_cast<std::byte*>(values.data()), DType::kF32, {rows, std::ssize(values) / rows}};
}

constexpr std::int64_t kRows = 64, kColumns = 1000;  // no multiple of the kernel's lanes

Rows some_rows() {
  std::vector<std::int32_t> samples, positions;
  for (std::int32_t i = 0; i < kRows; ++i) {
    samples.push_back(i / 16);
    positions.push_back(i % 16);
  }
  return Rows(samples, positions);
}

// dropout of ones: 0 or the scale.
std::vector<float> mask(const Noise& noise, float p) {
  std::vector<float> ones(kRows * kColumns, 1.0F), y(kRows * kColumns, 7.0F);
  cpu::dropout(matrix(y, kRows), matrix(ones, kRows), noise, p, Accumulate::kNo);
  return y;
}

double kept(const std::vector<float>& mask) {
  double count = 0;
  for (const float m : mask) count += m != 0 ? 1 : 0;
  return count;
}

TEST(Dropout, DropsAsOftenAsItSaysAndScalesWhatIsLeft) {
  const Rows rows = some_rows();
  for (const float p : {0.05F, 0.1F, 0.5F, 0.9F}) {
    const std::vector<float> values = mask(rows.noise({1, 2}, 3), p);
    const auto n = static_cast<double>(values.size());
    const double expected = n * (1 - static_cast<double>(p)), sigma = std::sqrt(expected * static_cast<double>(p));
    EXPECT_NEAR(kept(values), expected, 5 * sigma) << p;
    for (const float v : values) EXPECT_TRUE(v == 0 || std::abs(v * (1 - p) - 1) < 1e-3F) << v;
  }
}

TEST(Dropout, OfNothingChangesNothing) {
  const Rows rows = some_rows();
  for (const float v : mask(rows.noise({1, 2}, 3), 0)) EXPECT_EQ(v, 1.0F);
}

// Of two independent masks at p = 1/2 half the values agree.
void expect_independent(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
  double agree = 0;
  for (std::size_t i = 0; i < a.size(); ++i) agree += a[i] == b[i] ? 1 : 0;
  const auto n = static_cast<double>(a.size());
  EXPECT_NEAR(agree, n / 2, 5 * std::sqrt(n) / 2) << what;
}

TEST(Dropout, IsIndependentBetweenPlacesKeysSamplesPositionsAndColumns) {
  const Rows rows = some_rows();
  const std::vector<float> one = mask(rows.noise({1, 2}, 3), 0.5F);
  expect_independent(one, mask(rows.noise({1, 2}, 4), 0.5F), "another place");
  expect_independent(one, mask(rows.noise({1, 3}, 3), 0.5F), "another key");
  const auto shifted = [&](std::size_t by) {
    std::vector<float> other = one;
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
  const std::vector<float> whole = mask(rows.noise({1, 2}, 3), 0.5F);
  const Rows alone({2}, {5});  // row 37
  std::vector<float> ones(kColumns, 1.0F), y(kColumns);
  cpu::dropout(matrix(y, 1), matrix(ones, 1), alone.noise({1, 2}, 3), 0.5F, Accumulate::kNo);
  EXPECT_EQ(y, std::vector<float>(whole.begin() + 37 * kColumns, whole.begin() + 38 * kColumns));
}

TEST(Dropout, AddsTheSameMaskAsItWrites) {
  const Rows rows = some_rows();
  std::vector<float> x(kRows * kColumns), y(x.size()), sum(x.size(), 1.0F);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 97) - 48;
  cpu::dropout(matrix(y, kRows), matrix(x, kRows), rows.noise({1, 2}, 3), 0.25F, Accumulate::kNo);
  cpu::dropout(matrix(sum, kRows), matrix(x, kRows), rows.noise({1, 2}, 3), 0.25F, Accumulate::kYes);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(sum[i], 1.0F + y[i]);
}

TEST(Noise, OfASampleIsUniformWithinAlphaOverTheRootOfItsSize) {
  const Rows rows = some_rows();
  std::vector<float> x(kRows * kColumns, 0.0F);
  const std::vector<std::int32_t> bounds{0, 4, 32, 64};
  constexpr float kAlpha = 5;
  cpu::add_noise(matrix(x, kRows), rows.noise({1, 2}, 0), Rows::ints(bounds), kAlpha);
  for (std::size_t s = 0; s + 1 < bounds.size(); ++s) {
    const auto size = static_cast<double>((bounds[s + 1] - bounds[s]) * kColumns), limit = kAlpha / std::sqrt(size);
    double mean = 0, square = 0, largest = 0;
    for (std::int64_t i = bounds[s] * kColumns; i < bounds[s + 1] * kColumns; ++i) {
      const double v = static_cast<double>(x[static_cast<std::size_t>(i)]) / limit;
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
