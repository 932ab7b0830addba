// What the CPU's ops promise beyond ops.h: bits that do not follow from the number of rows, no allocation, and a
// refusal of an index outside its table.
#include <gtest/gtest.h>

#include "backend/cpu/cpu_device.h"
#include "backend/held.h"

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

// What the cut by rows rests on.
TEST(Matmul, GivesARowTheSameBitsHoweverManyRowsThereAre) {
  CpuDevice device({.threads = 1});
  for (const Types types : kTypes)
    for (const Op op_b : {Op::kNone, Op::kTranspose})
      for (const Size size : {Size{300, 576, 576}, {300, 192, 1536}, {300, 16, 576}, {300, 576, 16}}) {
        if (types.in == DType::kBF16 && device.support(DType::kBF16) == Support::kNone) continue;
        const Held a(types.in, {size.m, size.k}, 1),
            b(types.in, op_b == Op::kNone ? Shape{size.k, size.n} : Shape{size.n, size.k}, 2);
        const Held whole(types.out, {size.m, size.n}), parts(types.out, {size.m, size.n});
        device.ops().matmul(whole, a, Op::kNone, b, op_b, Accumulate::kNo);
        for (const auto& [begin, end] : {std::pair{0, 1}, {1, 65}, {65, 300}})
          device.ops().matmul(parts.tensor.rows(begin, end), a.tensor.rows(begin, end), Op::kNone, b, op_b,
                              Accumulate::kNo);
        EXPECT_EQ(whole.bytes(), parts.bytes()) << name_of(types.in) << ' ' << size.n << ' ' << size.k;
      }
}

TEST(CpuOps, AllocatesNothingOnceItHasSeenTheShapes) {
  CpuDevice device({.threads = 2});
  const Held a(DType::kF32, {200, 64}, 1), b(DType::kF32, {96, 64}, 2), y(DType::kF32, {200, 96});
  const Held dw(DType::kF32, {96, 64}), heads(DType::kF32, {200, 1, 64}, 3), lse(DType::kF32, {1, 200}, 4);
  const Held dq(DType::kF32, {200, 1, 64}), dk(DType::kF32, {200, 1, 64}), dv(DType::kF32, {200, 1, 64}),
      delta(DType::kF32, {1, 200});
  const Held bounds = ints({0, 200});
  const auto step = [&] {
    device.ops().matmul(y, a, Op::kNone, b, Op::kTranspose, Accumulate::kNo);
    const WeightGradient job{dw, y, a};
    device.ops().weight_gradients({&job, 1});
    device.ops().attention_backward(dq, dk, dv, delta, heads, heads, lse, heads, heads, heads, bounds, 0.125F);
  };
  step();
  const auto before = device.memory(Tier::kDevice).allocations;
  EXPECT_GT(before, 0U);
  step();
  EXPECT_EQ(device.memory(Tier::kDevice).allocations, before);
}

TEST(CrossEntropy, RefusesATargetOutsideTheVocabulary) {
  CpuDevice device({.threads = 1});
  const Held logits(DType::kF32, {1, 40}, 1), losses(DType::kF32, {1});
  EXPECT_THROW(device.ops().cross_entropy(losses, Tensor{}, logits, ints({40}), 1.0F), std::logic_error);
}

TEST(AttentionDecode, RefusesAFullCache) {
  CpuDevice device({.threads = 1});
  const Held x(DType::kF32, {1, 1, 8}, 1), cache_k(DType::kF32, {1, 4, 1, 8}, 2), cache_v(DType::kF32, {1, 4, 1, 8}, 3),
      o(DType::kF32, {1, 1, 8});
  EXPECT_THROW(device.ops().attention_decode(o, {cache_k, cache_v}, x, x, x, ints({4}), 1.0F), std::logic_error);
}

// A failed stream stays failed, so a device each.
TEST(Rows, BeyondTheTableAreRefused) {
  CpuDevice device({.threads = 1}), other({.threads = 1});
  const Held table(DType::kF32, {6, 5}, 1), y(DType::kF32, {4, 5});
  EXPECT_THROW(device.ops().embed(y, ints({5, 0, 6, 2}), table), std::logic_error);
  EXPECT_THROW(other.ops().gather_rows(y, table, ints({5, 0, -1, 2})), std::logic_error);
}

}  // namespace
}  // namespace shardlora
