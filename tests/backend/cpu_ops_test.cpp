// What the CPU's ops promise beyond ops.h: bits that do not follow from addresses, no allocation, and a refusal of an
// index outside its table.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <map>

#include "backend/cpu/block_product.h"
#include "backend/cpu/cpu_device.h"
#include "backend/cpu/cpu_features.h"
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

constexpr char kPlainLoops[] = "plain loops";

bool computes_in(DType dtype) { return CpuDevice({.threads = 1}).support(dtype) != Support::kNone; }

// scripts/test runs this under each of oneDNN's limits: the tests of that run are only worth something if it held.
TEST(InstructionSet, FollowsTheLimitThatOneDnnIsGiven) {
  const char* const limit = std::getenv("DNNL_MAX_CPU_ISA");
  if (limit == nullptr) GTEST_SKIP() << "DNNL_MAX_CPU_ISA is not set";
  const std::map<std::string, InstructionSet> sets = {{"AVX2", InstructionSet::kAvx2},
                                                      {"AVX512_CORE", InstructionSet::kAvx512},
                                                      {"AVX512_CORE_BF16", InstructionSet::kAvx512Bf16},
                                                      {"AVX512_CORE_AMX", InstructionSet::kAmx}};
  EXPECT_EQ(instruction_set(), sets.at(limit));
  EXPECT_EQ(computes_in(DType::kBF16), sets.at(limit) >= InstructionSet::kAvx512Bf16);
}

// Slots, shares and workspaces lie elsewhere on every number of ranks, and adapters behind one another.
TEST(Matmul, GivesTheSameBitsWhereverItsOperandsLie) {
  if (cpu::product_library() == kPlainLoops) GTEST_SKIP() << "this build multiplies with plain loops";
  CpuDevice device({.threads = 2});
  for (const Types types : kTypes)
    for (const Op op_b : {Op::kNone, Op::kTranspose})
      for (const Size size : {Size{300, 576, 576}, {300, 192, 1536}, {300, 16, 576}, {300, 576, 16}}) {
        if (!computes_in(types.in)) continue;
        const auto product = [&](std::size_t off) {
          const auto moved = [off](const Held& room, Shape shape) {
            return Tensor{room.tensor.data + off, room.tensor.dtype, shape};
          };
          const Shape a{size.m, size.k}, b = op_b == Op::kNone ? Shape{size.k, size.n} : Shape{size.n, size.k},
                                         y{size.m, size.n};
          const auto room = [](DType dtype, const Shape& shape) { return Held(dtype, {shape.numel() + 64}); };
          const Held a_room = room(types.in, a), b_room = room(types.in, b), y_room = room(types.out, y);
          device.ops().cast(moved(a_room, a), Held(DType::kF32, a, 1));
          device.ops().cast(moved(b_room, b), Held(DType::kF32, b, 2));
          device.ops().matmul(moved(y_room, y), moved(a_room, a), Op::kNone, moved(b_room, b), op_b, Accumulate::kNo);
          device.compute().synchronize();
          const Tensor result = moved(y_room, y);
          return std::vector<std::byte>(result.data, result.data + result.bytes());
        };
        const auto at_a_page = product(0);
        for (const std::size_t off : {16U, 32U, 64U})
          EXPECT_EQ(product(off) == at_a_page, true)
              << name_of(types.in) << ' ' << size.n << ' ' << size.k << ' ' << off;
      }
}

// Some of oneDNN's kernels for few rows need more than those for many: with AMX 2 rows of this product three times as
// much as 200.
TEST(CpuOps, TakesNothingAfterARehearsalOfTheLargestShapes) {
  if (cpu::product_library() == kPlainLoops) GTEST_SKIP() << "this build multiplies with plain loops";
  constexpr std::int64_t kMost = 200;
  using Product = std::function<void(Ops&, std::int64_t rows)>;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    if (!computes_in(dtype)) continue;
    const std::int64_t in = dtype == DType::kBF16 ? 8192 : 512, out = in / 4;
    const Held x(dtype, {kMost, in}, 1), w(dtype, {out, in}, 2), y(dtype, {kMost, out}, 3);
    const Held narrow(dtype, {kMost, out}), dx(dtype, {kMost, in}), wide(DType::kF32, {kMost, out}),
        dw(DType::kF32, {out, in});
    const auto forward = [&](const Held& to, Accumulate accumulate, float alpha) {
      return [&, accumulate, alpha](Ops& ops, std::int64_t rows) {
        ops.matmul(to.tensor.rows(0, rows), x.tensor.rows(0, rows), Op::kNone, w, Op::kTranspose, accumulate, alpha);
      };
    };
    const Product products[] = {
        forward(narrow, Accumulate::kNo, 0.5F), forward(narrow, Accumulate::kYes, 1), forward(wide, Accumulate::kNo, 1),
        [&](Ops& ops, std::int64_t rows) {
          ops.matmul(dx.tensor.rows(0, rows), y.tensor.rows(0, rows), Op::kNone, w, Op::kNone, Accumulate::kNo);
        },
        [&](Ops& ops, std::int64_t rows) {
          const WeightGradient job{dw, y.tensor.rows(0, rows), x.tensor.rows(0, rows)};
          if (rows % kRowGrain == 0) ops.weight_gradients({&job, 1});
        }};
    for (const Product& product : products) {
      CpuDevice device({.threads = 2});
      {
        const Rehearsal rehearsal(device.ops());
        product(device.ops(), kMost - kMost % kRowGrain);
        product(device.ops(), kMost);
      }
      const auto before = device.memory(Tier::kDevice).allocations;
      for (const std::int64_t rows : {200, 193, 186, 144, 129, 112, 66, 64, 48, 33, 16, 2, 1})
        product(device.ops(), rows);
      device.compute().synchronize();
      EXPECT_EQ(device.memory(Tier::kDevice).allocations, before) << name_of(dtype) << ' ' << &product - products;
    }
  }
}

TEST(CpuOps, ComputesNothingInARehearsal) {
  CpuDevice device({.threads = 1});
  const Held x(DType::kF32, {16, 16}, 1), y(DType::kF32, {16, 16}, 2);
  const std::vector<std::byte> before = y.bytes();
  {
    const Rehearsal rehearsal(device.ops());
    device.ops().matmul(y, x, Op::kNone, x, Op::kNone, Accumulate::kNo);
    device.ops().add(y, x, x);
    device.ops().zero(y);
    device.compute().synchronize();
  }
  EXPECT_EQ(y.bytes(), before);
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
