// No bit of any op depends on how many threads make it. Shapes are large enough that every op does use its threads.
#include <gtest/gtest.h>

#include "backend/cpu/cpu_device.h"
#include "backend/held.h"
#include "quant/nf4.h"
#include "quant/quantize.h"

namespace shardlora {
namespace {

using Bytes = std::vector<std::byte>;

// What `op` leaves in `outputs` on so many threads.
Bytes bytes_with(int threads, const std::function<void(Ops&)>& op, const std::vector<const Held*>& outputs) {
  CpuDevice device({.threads = threads});
  op(device.ops());
  device.compute().synchronize();
  Bytes all;
  for (const Held* out : outputs) all.insert(all.end(), out->tensor.data, out->tensor.data + out->tensor.bytes());
  return all;
}

void expect_same_bits(const std::function<void(Ops&)>& op, const std::vector<const Held*>& outputs) {
  const Bytes one = bytes_with(1, op, outputs);
  for (const int threads : {2, 3, 8}) EXPECT_EQ(bytes_with(threads, op, outputs) == one, true) << threads << " threads";
}

class ThreadCount : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (CpuDevice({.threads = 2}).threads() < 2) GTEST_SKIP() << "this build runs kernels on one thread only";
    if (GetParam() == DType::kBF16 && CpuDevice({.threads = 1}).support(DType::kBF16) == Support::kNone)
      GTEST_SKIP() << "this CPU has no bf16 products";
  }
  const DType t_ = GetParam();
};
INSTANTIATE_TEST_SUITE_P(Floats, ThreadCount, testing::Values(DType::kF32, DType::kBF16, DType::kF16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST_P(ThreadCount, DoesNotChangeProducts) {
  for (const auto& [n, k] : {std::pair<std::int64_t, std::int64_t>{576, 576},
                             {1536, 576},
                             {576, 1536},
                             {16, 576},
                             {576, 16},
                             {2500, 64},
                             {64, 4096}}) {
    const Held x(t_, {700, k}, 1), w(t_, {n, k}, 2), y(t_, {700, n}), dx(t_, {700, k}), wide(DType::kF32, {700, n});
    expect_same_bits([&](Ops& ops) { ops.matmul(y, x, Op::kNone, w, Op::kTranspose, Accumulate::kNo); }, {&y});
    expect_same_bits([&](Ops& ops) { ops.matmul(wide, x, Op::kNone, w, Op::kTranspose, Accumulate::kNo); }, {&wide});
    expect_same_bits([&](Ops& ops) { ops.matmul(dx, y, Op::kNone, w, Op::kNone, Accumulate::kNo); }, {&dx});
  }
}

// On one thread four rows are left at the end, with eight threads and blocks as even as can be it would be twenty.
TEST_P(ThreadCount, DoesNotChangeTheLastRowsOfLogits) {
  const Held x(t_, {260, 64}, 1), w(t_, {3100, 64}, 2), y(DType::kF32, {260, 3100});
  expect_same_bits([&](Ops& ops) { ops.matmul(y, x, Op::kNone, w, Op::kTranspose, Accumulate::kNo); }, {&y});
}

TEST_P(ThreadCount, DoesNotChangeTheGradientsOfEmbeddingAndHead) {
  const Held dlogits(t_, {130, 33000}, 1), x(t_, {130, 64}, 2), table(DType::kF32, {33000, 64});
  expect_same_bits(
      [&](Ops& ops) {
        ops.matmul(table, dlogits, Op::kTranspose, x, Op::kNone, Accumulate::kNo);
        ops.matmul(table, dlogits, Op::kTranspose, x, Op::kNone, Accumulate::kYes);
      },
      {&table});
  const Held dy(t_, {700, 200}, 3), rows(DType::kF32, {5, 200});
  std::vector<std::int32_t> tokens;
  for (std::int32_t i = 0; i < 700; ++i) tokens.push_back(i * i % 5);
  const ConstTensor ids{reinterpret_cast<const std::byte*>(tokens.data()), DType::kI32, {700}};
  expect_same_bits([&](Ops& ops) { ops.embed_backward(rows, ids, dy); }, {&rows});
}

// At the first of these sizes oneDNN 2.6.3 changes bits where it may split the sum over two threads.
TEST_P(ThreadCount, DoesNotChangeWeightGradients) {
  const Held dy(t_, {2048, 1536}, 1), h(t_, {2048, 16}, 2), x(t_, {2048, 576}, 3);
  const Held db(DType::kF32, {1536, 16}), da(DType::kF32, {16, 576});
  const WeightGradient jobs[] = {{db, dy, h}, {da, h, x}};
  expect_same_bits([&](Ops& ops) { ops.weight_gradients(jobs); }, {&db, &da});
  // Nor does it matter which jobs go together.
  const Bytes together = bytes_with(2, [&](Ops& ops) { ops.weight_gradients(jobs); }, {&db});
  EXPECT_EQ(bytes_with(2, [&](Ops& ops) { ops.weight_gradients({jobs, 1}); }, {&db}) == together, true);
}

TEST_P(ThreadCount, DoesNotChangeAttention) {
  const Held q(t_, {347, 6, 64}, 1), k(t_, {347, 2, 64}, 2), v(t_, {347, 2, 64}, 3), d_o(t_, {347, 6, 64}, 4);
  const Held o(t_, {347, 6, 64}), lse(DType::kF32, {6, 347}), delta(DType::kF32, {6, 347}),
      bounds = ints({0, 1, 18, 82, 147, 347});
  const Held dq(t_, {347, 6, 64}), dk(t_, {347, 2, 64}), dv(t_, {347, 2, 64});
  expect_same_bits([&](Ops& ops) { ops.attention(o, lse, q, k, v, bounds, 0.125F); }, {&o, &lse});
  expect_same_bits([&](Ops& ops) { ops.attention_backward(dq, dk, dv, delta, d_o, o, lse, q, k, v, bounds, 0.125F); },
                   {&dq, &dk, &dv});
  const Held one_q(t_, {5, 6, 64}, 5), one_k(t_, {5, 2, 64}, 6), one_o(t_, {5, 6, 64});
  const Held cache_k(t_, {5, 210, 2, 64}), cache_v(t_, {5, 210, 2, 64}), lengths = ints({1, 17, 64, 65, 200});
  expect_same_bits(
      [&](Ops& ops) {
        ops.fill_cache({cache_k, cache_v}, k, v, bounds);
        ops.attention_decode(one_o, {cache_k, cache_v}, one_q, one_k, one_k, lengths, 0.125F);
      },
      {&one_o});
}

TEST_P(ThreadCount, DoesNotChangeRowWiseOps) {
  const Held x(t_, {101, 301}, 1), dy(t_, {101, 301}, 2), w(DType::kF32, {301}, 3), y(t_, {101, 301}),
      inv_rms(DType::kF32, {101}), dx(t_, {101, 301});
  expect_same_bits([&](Ops& ops) { ops.rms_norm(y, inv_rms, x, w, 1e-5F); }, {&y, &inv_rms});
  expect_same_bits([&](Ops& ops) { ops.rms_norm_backward(dx, dy, x, inv_rms, w, Accumulate::kNo); }, {&dx});
  expect_same_bits([&](Ops& ops) { ops.swiglu(y, x, dy); }, {&y});
  expect_same_bits([&](Ops& ops) { ops.swiglu_backward(y, dx, dy, x, dy); }, {&y, &dx});
  expect_same_bits([&](Ops& ops) { ops.add(y, x, dy); }, {&y});
  const Held turned(t_, {101, 5, 60}), positions(DType::kI32, {101}, random_values(101, 4, 500)),
      inv_freq(DType::kF32, {30}, 5);
  const Held before(t_, {101, 5, 60}, 6);
  expect_same_bits(
      [&](Ops& ops) {
        ops.cast(turned, before);
        ops.rope(turned, positions, inv_freq, 1.0F);
      },
      {&turned});
}

TEST_P(ThreadCount, DoesNotChangeLossesAndUpdates) {
  const Held logits(DType::kF32, {9, 5001}, 1, 9.0), losses(DType::kF32, {9}), dlogits(t_, {9, 5001}),
      ids(DType::kI32, {9});
  const Held targets = ints({0, 1, 2, 3, 4, 5, 6, 7, 5000});
  expect_same_bits([&](Ops& ops) { ops.cross_entropy(losses, dlogits, logits, targets, 0.1F); }, {&losses, &dlogits});
  const Held state(DType::kF32, {9, 3});
  expect_same_bits([&](Ops& ops) { ops.cross_entropy_slice(losses, state, logits, targets, {0, 5001}); },
                   {&losses, &state});
  expect_same_bits(
      [&](Ops& ops) { ops.cross_entropy_slice_backward(dlogits, state, logits, targets, {0, 5001}, 0.1F); },
      {&dlogits});
  expect_same_bits([&](Ops& ops) { ops.argmax(ids, logits); }, {&ids});
  const Held x(DType::kF32, {50000}, 2), sums(DType::kF32, {13});
  expect_same_bits([&](Ops& ops) { ops.sums_of_squares(sums, x); }, {&sums});
  const Held master(DType::kF32, {50000}), m(DType::kF32, {50000}), v(DType::kF32, {50000});
  expect_same_bits(
      [&](Ops& ops) {
        ops.cast(master, x);
        ops.zero(m);
        ops.zero(v);
        ops.adamw(master, m, v, x, adamw_step({}, 1e-3, 1), 1.0F);
      },
      {&master, &m, &v});
}

}  // namespace
}  // namespace shardlora
