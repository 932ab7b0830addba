#include <gtest/gtest.h>

#include "backend/naive.h"

namespace shardlora {
namespace {

const std::vector<std::int32_t> kTargets = {0, 4999, 77};

TEST(CrossEntropy, IsTheLogOfTheSoftmaxAndItsDerivative) {
  Device& device = device_under_test();
  const Held logits(DType::kF32, {3, 5000}, 1, 12.0), losses(DType::kF32, {3}), targets = ints(kTargets);
  const Doubles x = logits.values(), want = naive::cross_entropy(x, kTargets, 5000);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const Held dlogits(dtype, {3, 5000});
    device.ops().cross_entropy(losses, dlogits, logits, targets, 0.25F);
    EXPECT_LE(worst(losses.values(), want, [&](std::size_t i) { return 4 * 0x1p-24 * (12 + want[i]); }), 1.0);
    Doubles gradient(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t row = i / 5000;
      const double loss_here =
          want[row] + x[row * 5000 + static_cast<std::size_t>(kTargets[row])] - x[i];  // were i the target
      gradient[i] = 0.25 * (std::exp(-loss_here) - (i % 5000 == static_cast<std::size_t>(kTargets[row]) ? 1.0 : 0.0));
    }
    // Relative: the exponent's argument is off by 24 * 2^-24 at most, and the sum of 5,000 terms by little.
    EXPECT_LE(worst(dlogits.values(), gradient,
                    [&](std::size_t i) {
                      return rounding(dtype, gradient[i]) + 32 * 0x1p-24 * std::abs(gradient[i]) + 1e-30;
                    }),
              1.0);
  }
}

// A vocabulary of 5000 in slices of 2000, the logits of each behind each other.
struct SlicedLogits {
  explicit SlicedLogits(const Doubles& x) : all(x) {
    for (std::int64_t first = 0; first < 5000; first += 2000) {
      Doubles part;
      const std::int64_t end = std::min<std::int64_t>(first + 2000, 5000);
      for (std::int64_t row = 0; row < 3; ++row)
        part.insert(part.end(), x.begin() + row * 5000 + first, x.begin() + row * 5000 + end);
      slices.push_back({first, 5000});
      logits.emplace_back(DType::kF32, Shape{3, end - first}, part);
    }
  }
  Doubles all;
  std::vector<TableSlice> slices;
  std::vector<Held> logits;
};

TEST(CrossEntropySlice, IsTheWholeLossAndGradientSliceBySlice) {
  Device& device = device_under_test();
  Doubles x = Held(DType::kF32, {3, 5000}, 1, 12.0).values();
  for (std::size_t i = 5000; i < 7000; ++i) x[i] = -INFINITY;  // a slice in which nothing can be
  x[7000] = 80;                                                // and the largest one behind it
  const SlicedLogits sliced(x);
  const Held losses(DType::kF32, {3}), state(DType::kF32, {3, 3}), targets = ints(kTargets);
  const Doubles want = naive::cross_entropy(x, kTargets, 5000);
  for (std::size_t s = 0; s < sliced.slices.size(); ++s)
    device.ops().cross_entropy_slice(losses, state, sliced.logits[s], targets, sliced.slices[s]);
  EXPECT_LE(worst(losses.values(), want, [&](std::size_t i) { return 4 * 0x1p-24 * (80 + want[i]); }), 1.0);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (std::size_t s = 0; s < sliced.slices.size(); ++s) {
      const std::int64_t width = sliced.logits[s].tensor.dim(1);
      const Held dlogits(dtype, {3, width});
      device.ops().cross_entropy_slice_backward(dlogits, state, sliced.logits[s], targets, sliced.slices[s], 0.25F);
      Doubles gradient;
      for (std::int64_t row = 0; row < 3; ++row)
        for (std::int64_t k = sliced.slices[s].first; k < sliced.slices[s].first + width; ++k) {
          const auto r = static_cast<std::size_t>(row), at = r * 5000 + static_cast<std::size_t>(k);
          const double log_z = want[r] + x[r * 5000 + static_cast<std::size_t>(kTargets[r])];
          gradient.push_back(0.25 * (std::exp(x[at] - log_z) - (k == kTargets[r] ? 1.0 : 0.0)));
        }
      // Relative: the exponent's argument is off by up to 100 * 2^-24.
      EXPECT_LE(worst(dlogits.values(), gradient,
                      [&](std::size_t i) {
                        return rounding(dtype, gradient[i]) + 128 * 0x1p-24 * std::abs(gradient[i]) + 1e-30;
                      }),
                1.0)
          << "slice " << s << " in " << name_of(dtype);
    }
  }
}

TEST(CrossEntropySlice, TellsWhatIsNotANumber) {
  Device& device = device_under_test();
  for (const std::size_t bad : {7U, 4321U}) {
    Doubles x = random_values(3 * 5000, 1);
    x[bad] = NAN;
    const SlicedLogits sliced(x);
    const Held losses(DType::kF32, {3}), state(DType::kF32, {3, 3});
    for (std::size_t s = 0; s < sliced.slices.size(); ++s)
      device.ops().cross_entropy_slice(losses, state, sliced.logits[s], ints(kTargets), sliced.slices[s]);
    EXPECT_TRUE(std::isnan(losses.values()[0]));
    EXPECT_TRUE(std::isfinite(losses.values()[1]));
  }
}

// What the loss scale is told by.
TEST(CrossEntropy, GivesInfinityWhereAGradientPassesF16) {
  Device& device = device_under_test();
  const Held logits(DType::kF32, {1, 4}, Doubles{0, 0, 0, 0}), losses(DType::kF32, {1}), dlogits(DType::kF16, {1, 4});
  device.ops().cross_entropy(losses, dlogits, logits, ints({1}), 65536.0F);
  EXPECT_EQ(dlogits.values(), (Doubles{16384, -49152, 16384, 16384}));
  device.ops().cross_entropy(losses, dlogits, logits, ints({1}), 131072.0F);
  EXPECT_EQ(dlogits.values(), (Doubles{32768, -INFINITY, 32768, 32768}));
}

TEST(CrossEntropy, AgreesWithCentralDifferencesAndNeedsNoGradient) {
  Device& device = device_under_test();
  const Held logits(DType::kF32, {3, 41}, 1, 3.0), losses(DType::kF32, {3}), alone(DType::kF32, {3}),
      dlogits(DType::kF32, {3, 41});
  const std::vector<std::int32_t> targets = {0, 40, 7};
  Doubles x = logits.values();
  const Doubles want = naive::differences(x, [&] {
    double sum = 0;
    for (const double loss : naive::cross_entropy(x, targets, 41)) sum += loss * 0.5;
    return sum;
  });
  device.ops().cross_entropy(losses, dlogits, logits, ints(targets), 0.5F);
  EXPECT_LE(worst(dlogits.values(), want, [](std::size_t) { return 8 * 0x1p-24; }), 1.0);
  device.ops().cross_entropy(alone, Tensor{}, logits, ints(targets), 0.5F);
  EXPECT_EQ(alone.bytes(), losses.bytes());
  device.ops().cross_entropy(losses, logits, logits, ints(targets), 0.5F);  // the gradient in place of the logits
  EXPECT_EQ(logits.bytes(), dlogits.bytes());
}

TEST(Argmax, IsTheFirstOfEqualLogits) {
  Device& device = device_under_test();
  Doubles x = random_values(4 * 1000, 1);
  for (const std::size_t i : {999U, 1000U, 2500U, 2600U, 2601U}) x[i] = 5.0;
  const Held logits(DType::kF32, {4, 1000}, x), ids(DType::kI32, {4});
  device.ops().argmax(ids, logits);
  const auto last_row = std::max_element(x.begin() + 3000, x.end()) - (x.begin() + 3000);
  EXPECT_EQ(ids.values(), (Doubles{999, 0, 500, static_cast<double>(last_row)}));
}

TEST(AdamW, IsTheUpdateOfOneValueOnEveryValue) {
  Device& device = device_under_test();
  const std::int64_t n = 20011;
  Doubles squares = random_values(n, 3, 1e-4);
  for (double& square : squares) square = std::abs(square);
  const Held value(DType::kF32, {n}, 1), m(DType::kF32, {n}, 2, 1e-2), v(DType::kF32, {n}, squares),
      g(DType::kF32, {n}, 4, 1e-2);
  const AdamWStep step = adamw_step({.weight_decay = 0.1}, 1e-3, 3);
  Doubles want = value.values(), want_m = m.values(), want_v = v.values();
  const Doubles gradient = g.values();
  for (std::size_t i = 0; i < want.size(); ++i) {
    auto w = static_cast<float>(want[i]), first = static_cast<float>(want_m[i]), second = static_cast<float>(want_v[i]);
    adamw(w, first, second, static_cast<float>(gradient[i]) * 0.5F, step);
    want[i] = static_cast<double>(w);
    want_m[i] = static_cast<double>(first);
    want_v[i] = static_cast<double>(second);
  }
  device.ops().adamw(value, m, v, g, step, 0.5F);
  EXPECT_EQ(value.values(), want);
  EXPECT_EQ(m.values(), want_m);
  EXPECT_EQ(v.values(), want_v);
}

// The order that optim/sum_of_squares.h tells, in plain loops: 1024 lanes of four squares, folded by halves.
float naive_sum_of_squares(const Doubles& values, std::size_t begin) {
  std::vector<float> lanes(1024);
  for (std::size_t i = begin; i < std::min(begin + 4096, values.size()); ++i) {
    const auto x = static_cast<float>(values[i]);
    const float square = x * x;
    lanes[(i - begin) % 1024] += square;
  }
  for (; lanes.size() > 1; lanes.resize(lanes.size() / 2))
    for (std::size_t l = 0; l < lanes.size() / 2; ++l) lanes[l] += lanes[lanes.size() / 2 + l];
  return lanes[0];
}

// To the last bit on every device, for values whose sum no two orders make alike: sizes far apart, squares that are
// denormal, zero or infinite.
TEST(SumsOfSquares, AreOnePerBlockOf4096InOneOrder) {
  Device& device = device_under_test();
  for (const std::int64_t n : {1, 4095, 4096, 4097, 10000, 5 * 4096}) {
    Doubles values = random_values(n, 1);
    const Doubles exponents = random_values(n, 2, 12.0);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<double>(
          static_cast<float>(values[i] * std::exp2(i / 4096 == 1 ? exponents[i] - 70 : exponents[i])));
    if (n == 10000) values[9000] = 1e30, values[4096] = -0.0;
    const std::int64_t blocks = (n + 4095) / 4096;
    const Held x(DType::kF32, {n}, values), sums(DType::kF32, {blocks});
    device.ops().sums_of_squares(sums, x);
    const Doubles got = sums.values();
    for (std::size_t b = 0; b < got.size(); ++b)
      EXPECT_EQ(static_cast<float>(got[b]), naive_sum_of_squares(values, b * 4096)) << "block " << b << " of " << n;
  }
}

}  // namespace
}  // namespace shardlora
