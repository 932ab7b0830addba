#include <fmt/format.h>
#include <gtest/gtest.h>

#include "backend/attention_rounding.h"
#include "backend/naive.h"

namespace shardlora {
namespace {

// Samples around the tile of 64: shorter, equal, one more, several tiles.
const std::vector<std::int32_t> kRagged = {0, 1, 18, 82, 147, 347};

struct Case {
  Case(DType dtype, naive::AttentionShape shape)
      : s(std::move(shape)),
        bounds(ints(s.bounds)),
        q(dtype, {s.n(), s.heads, s.d}, 1, 2.0),
        k(dtype, {s.n(), s.groups, s.d}, 2, 2.0),
        v(dtype, {s.n(), s.groups, s.d}, 3),
        d_o(dtype, {s.n(), s.heads, s.d}, 4),
        o(dtype, q.tensor.shape),
        dq(dtype, q.tensor.shape),
        dk(dtype, k.tensor.shape),
        dv(dtype, v.tensor.shape),
        lse(DType::kF32, {s.heads, s.n()}),
        delta(DType::kF32, {s.heads, s.n()}) {}
  void forward(Ops& ops) { ops.attention(o, lse, q, k, v, bounds, static_cast<float>(s.scale)); }
  void backward(Ops& ops) {
    ops.attention_backward(dq, dk, dv, delta, d_o, o, lse, q, k, v, bounds, static_cast<float>(s.scale));
  }

  naive::AttentionShape s;
  Held bounds, q, k, v, d_o, o, dq, dk, dv, lse, delta;
};

// Tensor cores take p and ds rounded to the dtype; the CPU keeps them in f32.
naive::AttentionRounding inner_roundings(const Case& run) {
  if (run.q.tensor.dtype == DType::kF32 || device_under_test().description().starts_with("CPU")) return {};
  return naive::attention_rounding(run.d_o.values(), run.o.values(), run.q.values(), run.k.values(), run.v.values(),
                                   run.s);
}

// One rounding of the output, those of p or ds where there are any, and a random walk of f32 roundings over the
// d * length products behind a value.
double off(const Held& got, const Doubles& want, const naive::AttentionShape& s, const Doubles& inner = {}) {
  double largest = 0;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  const DType dtype = got.tensor.dtype;
  const double walk = 0x1p-24 * std::sqrt(static_cast<double>(s.d) * 200.0) * largest;
  return worst(got.values(), want, [&](std::size_t i) {
    return rounding(dtype, want[i]) + (inner.empty() ? 0.0 : roundoff(dtype) * inner[i]) + walk;
  });
}

TEST(AttentionBackward, AllocatesNothingAfterARehearsal) {
  Device& device = device_under_test();
  Case run(DType::kF32, {{0, 100}, 4, 2, 16, 0.25});
  run.forward(device.ops());
  {
    const Rehearsal rehearsal(device.ops());
    run.backward(device.ops());
  }
  const std::uint64_t before = device.memory(Tier::kDevice).allocations;
  run.backward(device.ops());
  EXPECT_EQ(device.memory(Tier::kDevice).allocations, before);
}

class Attention : public testing::TestWithParam<std::tuple<DType, int, int, int>> {
 protected:
  naive::AttentionShape shape() const {
    const auto [dtype, heads, groups, d] = GetParam();
    return {kRagged, heads, groups, d, static_cast<double>(static_cast<float>(1.0 / std::sqrt(d)))};
  }
  Device& device_ = device_under_test();
};

TEST_P(Attention, IsTheCausalSoftmaxInsideEverySample) {
  Case run(std::get<0>(GetParam()), shape());
  run.forward(device_.ops());
  const auto want = naive::attention(run.q.values(), run.k.values(), run.v.values(), run.s);
  EXPECT_LE(off(run.o, want.o, run.s, inner_roundings(run).o), 1.0);
  EXPECT_LE(off(run.lse, want.lse, run.s), 1.0);
}

TEST_P(Attention, BackwardIsTheDerivative) {
  Case run(std::get<0>(GetParam()), shape());
  run.forward(device_.ops());
  run.backward(device_.ops());
  const auto want = naive::attention_backward(run.d_o.values(), run.o.values(), run.q.values(), run.k.values(),
                                              run.v.values(), run.s);
  const auto inner = inner_roundings(run);
  EXPECT_LE(off(run.dq, want.dq, run.s, inner.dq), 1.0);
  EXPECT_LE(off(run.dk, want.dk, run.s, inner.dk), 1.0);
  EXPECT_LE(off(run.dv, want.dv, run.s, inner.dv), 1.0);
}

std::string name_of_case(const testing::TestParamInfo<std::tuple<DType, int, int, int>>& info) {
  const auto [dtype, heads, groups, d] = info.param;
  return fmt::format("{}_H{}_G{}_D{}", name_of(dtype), heads, groups, d);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Attention,
                         testing::Values(std::tuple{DType::kF32, 3, 1, 64}, std::tuple{DType::kBF16, 3, 1, 64},
                                         std::tuple{DType::kF16, 3, 1, 64}, std::tuple{DType::kF16, 2, 2, 96},
                                         std::tuple{DType::kF32, 2, 2, 96}, std::tuple{DType::kBF16, 2, 2, 128},
                                         std::tuple{DType::kF32, 6, 2, 8}, std::tuple{DType::kF32, 1, 1, 40}),
                         name_of_case);

TEST(AttentionBackward, AgreesWithCentralDifferencesOfTheForward) {
  Device& device = device_under_test();
  Case run(DType::kF32, {{0, 1, 4, 9}, 6, 2, 8, 0.375});
  run.forward(device.ops());
  run.backward(device.ops());
  Doubles q = run.q.values(), k = run.k.values(), v = run.v.values();
  const auto loss = [&] { return naive::dot(run.d_o.values(), naive::attention(q, k, v, run.s).o); };
  EXPECT_LE(off(run.dq, naive::differences(q, loss), run.s), 1.0);
  EXPECT_LE(off(run.dk, naive::differences(k, loss), run.s), 1.0);
  EXPECT_LE(off(run.dv, naive::differences(v, loss), run.s), 1.0);
}

TEST(AttentionScores, MayReachHundreds) {
  Device& device = device_under_test();
  Case run(DType::kF32, {{0, 70}, 1, 1, 64, 30.0});
  run.forward(device.ops());
  run.backward(device.ops());
  const auto want = naive::attention(run.q.values(), run.k.values(), run.v.values(), run.s);
  // The score's own f32 error: some 1e4 * 2^-24, seen through an exponential.
  EXPECT_LE(worst(run.o.values(), want.o, [](std::size_t) { return 1e-2; }), 1.0);
  for (const double value : run.dk.values()) EXPECT_TRUE(std::isfinite(value));
}

TEST(AttentionScores, OfF16MayPassItsRange) {
  Device& device = device_under_test();
  Case run(DType::kF16, {{0, 70}, 1, 1, 64, 1e-4});
  for (Held* x : {&run.q, &run.k})
    for (int times = 0; times < 8; ++times) device.ops().add(*x, *x, *x);  // up to 512: q k^T reaches millions
  run.forward(device.ops());
  const auto want = naive::attention(run.q.values(), run.k.values(), run.v.values(), run.s);
  const Doubles inner = inner_roundings(run).o;
  // A score's f32 error: some 1e3 * 2^-24, seen through an exponential.
  const auto allowed = [&](std::size_t i) {
    return rounding(DType::kF16, want.o[i]) + (inner.empty() ? 0.0 : roundoff(DType::kF16) * inner[i]) + 1e-4;
  };
  EXPECT_LE(worst(run.o.values(), want.o, allowed), 1.0);
}

// A cache filled with all but the last token, then one decoding step: the last row of the whole attention.
TEST(AttentionDecode, ContinuesWhatTheFilledCacheBegan) {
  Device& device = device_under_test();
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const naive::AttentionShape s{{0, 5, 75, 76}, 6, 2, 64, 0.125};
    const std::int64_t capacity = 80, samples = 3;
    Case run(dtype, s);
    const auto want = naive::attention(run.q.values(), run.k.values(), run.v.values(), s);
    const Held q(dtype, {samples, s.heads, s.d}), k(dtype, {samples, s.groups, s.d}),
        v(dtype, {samples, s.groups, s.d});
    const Held o(dtype, {samples, s.heads, s.d}), cache_k(dtype, {samples, capacity, s.groups, s.d}),
        cache_v(dtype, {samples, capacity, s.groups, s.d});
    const KvCache cache{cache_k, cache_v};
    device.ops().fill_cache(cache, run.k, run.v, run.bounds);
    Doubles last;
    std::vector<std::int32_t> lengths;
    for (std::int64_t i = 0; i < samples; ++i) {
      const std::int32_t end = s.bounds[static_cast<std::size_t>(i) + 1];
      lengths.push_back(end - s.bounds[static_cast<std::size_t>(i)] - 1);
      device.ops().gather_rows(q.tensor.rows(i, i + 1).view({1, s.heads * s.d}),
                               run.q.tensor.view({s.n(), s.heads * s.d}), ints({end - 1}));
      device.ops().gather_rows(k.tensor.rows(i, i + 1).view({1, s.groups * s.d}),
                               run.k.tensor.view({s.n(), s.groups * s.d}), ints({end - 1}));
      device.ops().gather_rows(v.tensor.rows(i, i + 1).view({1, s.groups * s.d}),
                               run.v.tensor.view({s.n(), s.groups * s.d}), ints({end - 1}));
      last.insert(last.end(), want.o.begin() + (end - 1) * s.heads * s.d, want.o.begin() + end * s.heads * s.d);
      // The place of the new token must come from k and v, not from what fill_cache left.
      for (const Held* line : {&cache_k, &cache_v})
        device.ops().zero(
            line->tensor.rows(i, i + 1).view({capacity, s.groups * s.d}).rows(lengths.back(), lengths.back() + 1));
    }
    device.ops().attention_decode(o, cache, q, k, v, ints(lengths), 0.125F);
    EXPECT_LE(off(o, last, s), 1.0) << name_of(dtype);
  }
}

}  // namespace
}  // namespace shardlora
