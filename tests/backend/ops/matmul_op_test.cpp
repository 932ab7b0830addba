#include <gtest/gtest.h>

#include "backend/naive.h"

namespace shardlora {
namespace {

struct Size {
  std::int64_t m, n, k;
};
struct Types {
  DType in, out;
};
constexpr Types kTypes[] = {{DType::kF32, DType::kF32},
                            {DType::kBF16, DType::kBF16},
                            {DType::kBF16, DType::kF32},
                            {DType::kF16, DType::kF16},
                            {DType::kF16, DType::kF32}};

Doubles magnitudes(Doubles x) {
  for (double& value : x) value = std::abs(value);
  return x;
}

Shape stored(std::int64_t rows, std::int64_t columns, Op op) {
  return op == Op::kNone ? Shape{rows, columns} : Shape{columns, rows};
}

// How far ops.matmul is from double, in units of what k f32 roundings and one of the output may do.
double error(Ops& ops, const Size& size, Types types, Op op_a, Op op_b, Accumulate accumulate, float alpha = 1) {
  const Held a(types.in, stored(size.m, size.k, op_a), 1), b(types.in, stored(size.k, size.n, op_b), 2);
  const Held y(types.out, {size.m, size.n}, 3);
  const bool a_across = op_a == Op::kTranspose, b_across = op_b == Op::kTranspose;
  const auto product = [&](const Doubles& left, const Doubles& right) {
    return naive::matmul(left, a_across, right, b_across, size.m, size.n, size.k);
  };
  Doubles want = product(a.values(), b.values()), terms = product(magnitudes(a.values()), magnitudes(b.values()));
  for (double& value : want) value *= alpha;
  for (double& value : terms) value *= std::abs(alpha);
  const Doubles before = y.values();
  for (std::size_t i = 0; accumulate == Accumulate::kYes && i < want.size(); ++i) {
    want[i] += before[i];
    terms[i] += std::abs(before[i]);
  }
  ops.matmul(y, a, op_a, b, op_b, accumulate, alpha);
  const double sum_error = std::sqrt(static_cast<double>(size.k)) * 0x1p-24;
  return worst(y.values(), want, [&](std::size_t i) { return rounding(types.out, want[i]) + sum_error * terms[i]; });
}

TEST(Matmul, IsTheSumOfProductsForEveryTypeTransposeAndAccumulation) {
  Device& device = device_under_test();
  for (const Types types : kTypes) {
    if (device.support(types.in) == Support::kNone) continue;
    for (const Op op_a : {Op::kNone, Op::kTranspose})
      for (const Op op_b : {Op::kNone, Op::kTranspose})
        for (const Accumulate accumulate : {Accumulate::kNo, Accumulate::kYes})
          for (const Size size : {Size{1, 1, 1}, {7, 5, 3}, {130, 24, 33}})
            for (const float alpha : {1.0F, accumulate == Accumulate::kNo ? -0.3F : 1.0F})
              EXPECT_LE(error(device.ops(), size, types, op_a, op_b, accumulate, alpha), 1.0)
                  << name_of(types.in) << " -> " << name_of(types.out) << ' ' << size.m << 'x' << size.n << 'x'
                  << size.k << " times " << alpha;
  }
}

TEST(Matmul, IsRightWhereAWideOutputIsCutByColumns) {
  Device& device = device_under_test();
  for (const Types types : {kTypes[0], Types{DType::kF16, DType::kF16}, Types{DType::kF16, DType::kF32}}) {
    EXPECT_LE(error(device.ops(), {3, 3100, 16}, types, Op::kNone, Op::kTranspose, Accumulate::kNo), 1.0);
    EXPECT_LE(error(device.ops(), {3, 3100, 16}, types, Op::kNone, Op::kNone, Accumulate::kYes), 1.0);
  }
}

TEST(Matmul, OfF16SumsBeyondItsRangeAndRoundsToInfinity) {
  Device& device = device_under_test();
  const Held a(DType::kF16, {1, 3}, Doubles{300, 300, -250}), b(DType::kF16, {3, 1}, Doubles{300, 300, 300});
  const Held wide(DType::kF32, {1, 1}), narrow(DType::kF16, {1, 1});
  device.ops().matmul(wide, a, Op::kNone, b, Op::kNone, Accumulate::kNo);
  EXPECT_EQ(wide.values(), Doubles{105000});
  device.ops().matmul(narrow, a, Op::kNone, b, Op::kNone, Accumulate::kNo);
  EXPECT_EQ(narrow.values(), Doubles{INFINITY});
}

TEST(Matmul, LeavesAnEmptyOutputAlone) {
  Device& device = device_under_test();
  const Held a(DType::kF32, {0, 4}), b(DType::kF32, {4, 4}, 1), y(DType::kF32, {0, 4});
  EXPECT_NO_THROW(device.ops().matmul(y, a, Op::kNone, b, Op::kNone, Accumulate::kNo));
}

TEST(WeightGradients, AreTheProductsOfEveryJob) {
  Device& device = device_under_test();
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    if (device.support(dtype) == Support::kNone) continue;
    const Held dy1(dtype, {300, 40}, 1), x1(dtype, {300, 8}, 2), dy2(dtype, {300, 8}, 3), x2(dtype, {300, 24}, 4);
    const Held dw1(DType::kF32, {40, 8}), dw2(DType::kF32, {8, 24});
    const WeightGradient jobs[] = {{dw1, dy1, x1}, {dw2, dy2, x2}};
    device.ops().weight_gradients(jobs);
    const double allowed = std::sqrt(300.0) * 0x1p-24 * 300;  // |dy x| < 1
    EXPECT_LE(worst(dw1.values(), naive::matmul(dy1.values(), true, x1.values(), false, 40, 8, 300),
                    [&](std::size_t) { return allowed; }),
              1.0);
    EXPECT_LE(worst(dw2.values(), naive::matmul(dy2.values(), true, x2.values(), false, 8, 24, 300),
                    [&](std::size_t) { return allowed; }),
              1.0);
  }
}

TEST(Ops, RefusesShapesThatDoNotFitBeforeAnythingRuns) {
  Device& device = device_under_test();
  const Held a(DType::kF32, {4, 6}, 1), b(DType::kF32, {5, 6}, 2), y(DType::kF32, {4, 5}), narrow(DType::kBF16, {4, 5});
  EXPECT_THROW(device.ops().matmul(y, a, Op::kNone, b, Op::kNone, Accumulate::kNo), std::logic_error);
  EXPECT_THROW(device.ops().matmul(narrow, a, Op::kNone, b, Op::kTranspose, Accumulate::kNo), std::logic_error);
  EXPECT_THROW(device.ops().matmul(y, a, Op::kNone, b, Op::kTranspose, Accumulate::kYes, 0.5F), std::logic_error);
  EXPECT_THROW(device.ops().add(y, y, a), std::logic_error);
  EXPECT_THROW(device.ops().embed(y, ints({0, 5, 1, 2}), b), std::logic_error);  // 5 tokens in the table, width 6
}

}  // namespace
}  // namespace shardlora
