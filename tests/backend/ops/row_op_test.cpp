// rms_norm, rope, swiglu, element-wise passes and rows by index.
#include <gtest/gtest.h>

#include "backend/naive.h"

namespace shardlora {
namespace {

constexpr DType kFloats[] = {DType::kF32, DType::kBF16, DType::kF16};

class RowOps : public testing::TestWithParam<DType> {
 protected:
  // `roundings` of the output's dtype, and a random walk of f32 roundings over `terms` terms of size `size`.
  double off(const Held& got, const Doubles& want, double roundings, double terms = 1, double size = 1) const {
    const double walk = 4 * 0x1p-24 * std::sqrt(terms) * size;
    return worst(got.values(), want, [&](std::size_t i) { return roundings * rounding(GetParam(), want[i]) + walk; });
  }
  Device& device_ = device_under_test();
  Ops& ops_ = device_.ops();
};
INSTANTIATE_TEST_SUITE_P(Floats, RowOps, testing::ValuesIn(kFloats),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST_P(RowOps, RmsNormScalesRowsToUnitMeanSquare) {
  const Held x(GetParam(), {5, 100}, 1, 3.0), w(DType::kF32, {100}, 2), y(GetParam(), {5, 100}),
      inv_rms(DType::kF32, {5});
  ops_.rms_norm(y, inv_rms, x, w, 1e-5F);
  EXPECT_LE(off(y, naive::rms_norm(x.values(), w.values(), static_cast<double>(1e-5F), 5, 100), 2.02, 100, 0.2), 1.0);
}

TEST_P(RowOps, RmsNormRoundsBeforeTheWeight) {
  const Held x(GetParam(), {3, 64}, 1, 3.0), w(DType::kF32, {64}, 2), y(GetParam(), {3, 64}), inv_rms(DType::kF32, {3});
  ops_.rms_norm(y, inv_rms, x, w, 1e-5F);
  for (std::size_t i = 0; i < y.values().size(); ++i) {
    const auto scaled = static_cast<float>(x.values()[i]) * static_cast<float>(inv_rms.values()[i / 64]);
    const float want = rounded(GetParam(), scaled) * static_cast<float>(w.values()[i % 64]);
    EXPECT_EQ(static_cast<float>(y.values()[i]), rounded(GetParam(), want));
  }
}

// A square of 30,000 is beyond f16.
TEST_P(RowOps, RmsNormTakesValuesWhoseSquaresPassTheRange) {
  const Held x(GetParam(), {5, 100}, 1, 3e4), w(DType::kF32, {100}, 2), y(GetParam(), {5, 100}),
      inv_rms(DType::kF32, {5});
  ops_.rms_norm(y, inv_rms, x, w, 1e-5F);
  EXPECT_LE(off(y, naive::rms_norm(x.values(), w.values(), static_cast<double>(1e-5F), 5, 100), 2.02, 100, 0.2), 1.0);
}

TEST_P(RowOps, RmsNormBackwardIsTheDerivative) {
  const Held x(GetParam(), {3, 40}, 1, 3.0), w(DType::kF32, {40}, 2), dy(GetParam(), {3, 40}, 3),
      y(GetParam(), {3, 40}), inv_rms(DType::kF32, {3});
  const Held dx(GetParam(), {3, 40}), more(GetParam(), {3, 40}, 4);
  Doubles at = x.values();
  const Doubles want = naive::differences(
      at, [&] { return naive::dot(dy.values(), naive::rms_norm(at, w.values(), static_cast<double>(1e-5F), 3, 40)); });
  ops_.rms_norm(y, inv_rms, x, w, 1e-5F);
  ops_.rms_norm_backward(dx, dy, x, inv_rms, w, Accumulate::kNo);
  EXPECT_LE(off(dx, want, 1.01, 40), 1.0);
  const Held in_place(GetParam(), {3, 40}, 3);  // dy again
  ops_.rms_norm_backward(in_place, in_place, x, inv_rms, w, Accumulate::kNo);
  EXPECT_EQ(in_place.values(), dx.values());
  Doubles sum = more.values();
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += want[i];
  ops_.rms_norm_backward(more, dy, x, inv_rms, w, Accumulate::kYes);
  EXPECT_LE(off(more, sum, 1.01, 40), 1.0);
}

TEST_P(RowOps, AddBiasAddsItToEveryRow) {
  const Held y(GetParam(), {200, 90}, 1), before(GetParam(), {200, 90}, 1), bias(DType::kF32, {90}, 2);
  ops_.add_bias(y, bias);
  Doubles want = before.values();
  for (std::size_t i = 0; i < want.size(); ++i) want[i] += bias.values()[i % 90];
  EXPECT_LE(off(y, want, 1.01), 1.0);
}

TEST_P(RowOps, RopeTurnsPairsByTheirPositionAndBack) {
  const std::int64_t heads = 3, d = 144;  // more pairs than are turned at a time
  Doubles frequencies;
  for (int k = 0; k < d / 2; ++k) frequencies.push_back(std::pow(10000.0, -2.0 * k / static_cast<double>(d)));
  const Held x(GetParam(), {4, heads, d}, 1), inv_freq(DType::kF32, {d / 2}, frequencies),
      before(GetParam(), {4, heads, d}, 1);
  const Held positions = ints({0, 1, 77, 8191});
  ops_.rope(x, positions, inv_freq, 1.0F);
  EXPECT_LE(off(x, naive::rope(before.values(), positions.values(), inv_freq.values(), 4, heads, d), 1.01), 1.0);
  ops_.rope(x, positions, inv_freq, -1.0F);
  const double allowed = 4 * std::sqrt(2.0) * roundoff(GetParam()) + 0x1p-22;  // two turns of values below sqrt 2
  EXPECT_LE(worst(x.values(), before.values(), [&](std::size_t) { return allowed; }), 1.0);
}

TEST_P(RowOps, SwigluAndItsBackwardAreRightEvenInPlace) {
  const Held gate(GetParam(), {7, 33}, 1, 8.0), up(GetParam(), {7, 33}, 2, 2.0), dy(GetParam(), {7, 33}, 3),
      y(GetParam(), {7, 33});
  ops_.swiglu(y, gate, up);
  Doubles g = gate.values(), u = up.values();
  EXPECT_LE(off(y, naive::swiglu(g, u), 1.01, 4, 8), 1.0);
  const auto loss = [&] { return naive::dot(dy.values(), naive::swiglu(g, u)); };
  const Doubles dgate = naive::differences(g, loss), dup = naive::differences(u, loss);
  ops_.swiglu_backward(gate, up, dy, gate, up);
  EXPECT_LE(off(gate, dgate, 1.01, 4, 8), 1.0);
  EXPECT_LE(off(up, dup, 1.01, 4, 8), 1.0);
}

TEST_P(RowOps, AddZeroAndCastRoundOnce) {
  const Held a(GetParam(), {3, 50}, 1), b(GetParam(), {3, 50}, 2), y(GetParam(), {3, 50});
  Doubles sum = a.values();
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += b.values()[i];
  ops_.add(y, a, b);
  EXPECT_LE(off(y, sum, 1.0, 0), 1.0);
  ops_.add(b, a, b);
  EXPECT_EQ(b.bytes(), y.bytes());
  ops_.zero(y);
  EXPECT_EQ(y.values(), Doubles(150));
  const Held wide(DType::kF32, {3, 50}, 5), back(DType::kF32, {3, 50});
  ops_.cast(y, wide);
  ops_.cast(back, y);
  EXPECT_EQ(y.values(), Held(GetParam(), {3, 50}, 5).values());
  EXPECT_EQ(back.values(), y.values());
}

TEST_P(RowOps, RowsAreFoundByIndex) {
  const Held table(GetParam(), {6, 5}, 1), y(GetParam(), {4, 5}), back(GetParam(), {6, 5});
  const Held tokens = ints({5, 0, 5, 2}), rows = ints({4, 1, 0, 3});
  ops_.embed(y, tokens, table);
  for (std::size_t i = 0; i < 20; ++i)
    EXPECT_EQ(y.values()[i], table.values()[static_cast<std::size_t>(tokens.values()[i / 5]) * 5 + i % 5]);
  ops_.scatter_rows(back, y, rows);
  const Held again(GetParam(), {4, 5});
  ops_.gather_rows(again, back, rows);
  EXPECT_EQ(again.bytes(), y.bytes());
  for (const std::size_t untouched : {2U, 5U})
    for (std::size_t k = 0; k < 5; ++k) EXPECT_EQ(back.values()[untouched * 5 + k], 0.0);
}

TEST(EmbedBackward, AddsTheRowsOfEveryTokenAndLeavesTheOthersZero) {
  const Held dy(DType::kF32, {3, 2}, {1, 2, 3, 4, 5, 6}), dtable(DType::kF32, {4, 2});
  device_under_test().ops().embed_backward(dtable, ints({2, 0, 2}), dy);
  EXPECT_EQ(dtable.values(), (Doubles{3, 4, 0, 0, 6, 8, 0, 0}));
}

TEST(Embed, OfASliceTouchesWhatTheSliceHas) {
  Device& device = device_under_test();
  const Held whole(DType::kF32, {6, 20}, 1), y(DType::kF32, {5, 20}, 2), want(DType::kF32, {5, 20});
  const Held tokens = ints({5, 0, 5, 2, 3}), dy(DType::kF32, {5, 20}, 3), dwhole(DType::kF32, {6, 20});
  device.ops().embed(want, tokens, whole);
  device.ops().embed_backward(dwhole, tokens, dy);
  const Doubles before = y.values(), table = whole.values(), gradient = dwhole.values();
  for (const std::int64_t first : {2, 0, 5}) {
    const std::int64_t end = first == 0 ? 2 : first == 2 ? 5 : 6;
    const Held slice(DType::kF32, {end - first, 20}, Doubles(table.begin() + first * 20, table.begin() + end * 20)),
        dslice(DType::kF32, {end - first, 20});
    device.ops().embed(y, tokens, slice, {first, 6});
    if (first == 2) {
      const Doubles now = y.values();
      EXPECT_TRUE(std::equal(now.begin(), now.begin() + 60, before.begin())) << "tokens 5, 0 and 5";
    }
    device.ops().embed_backward(dslice, tokens, dy, {first, 6});
    EXPECT_EQ(dslice.values(), Doubles(gradient.begin() + first * 20, gradient.begin() + end * 20));
  }
  EXPECT_EQ(y.values(), want.values());
}

TEST(Embed, DecodesATableOfAnotherType) {
  Device& device = device_under_test();
  const Held table(DType::kF32, {3, 20}, 1);
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const Held y(dtype, {1, 20});
    device.ops().embed(y, ints({1}), table);
    for (std::size_t k = 0; k < 20; ++k)
      EXPECT_EQ(static_cast<float>(y.values()[k]), rounded(dtype, static_cast<float>(table.values()[20 + k])));
  }
}

}  // namespace
}  // namespace shardlora
