// Kernels at SmolLM2-135M's shapes: 2,048 tokens as 4 samples of 512. Built with -DBENCHMARKS=ON, run by hand:
//   build/tests/ops_bench --benchmark_min_time=1
#include <benchmark/benchmark.h>

#include "backend/cpu/cpu_device.h"
#include "backend/held.h"
#include "quant/nf4.h"

namespace shardlora {
namespace {

constexpr std::int64_t kTokens = 2048, kWidth = 576, kHidden = 1536, kVocabulary = 49152;

CpuDevice& device() {
  static CpuDevice cpu({});
  return cpu;
}

// Times `op`, and says how many of `unit` a second that makes.
void measure(benchmark::State& state, const char* unit, double count, const std::function<void(Ops&)>& op) {
  for (auto _ : state) op(device().ops());
  state.counters[unit] =
      benchmark::Counter(count * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

DType dtype_of(const benchmark::State& state) {
  return state.range(0) == 0                                ? DType::kF32
         : device().support(DType::kBF16) == Support::kFast ? DType::kBF16
                                                            : DType::kF32;
}

// y (m, n) = x (m, k) w (n, k)^T, and dx = y w.
void matmul(benchmark::State& state) {
  const std::int64_t m = state.range(1), n = state.range(2), k = state.range(3);
  const Held x(dtype_of(state), {m, k}, 1), w(dtype_of(state), {n, k}, 2), y(dtype_of(state), {m, n});
  measure(state, "flop/s", 2.0 * static_cast<double>(m * n * k),
          [&](Ops& ops) { ops.matmul(y, x, Op::kNone, w, Op::kTranspose, Accumulate::kNo); });
}

void matmul_dx(benchmark::State& state) {
  const std::int64_t m = state.range(1), n = state.range(2), k = state.range(3);
  const Held dx(dtype_of(state), {m, k}), w(dtype_of(state), {n, k}, 2), dy(dtype_of(state), {m, n}, 3);
  measure(state, "flop/s", 2.0 * static_cast<double>(m * n * k),
          [&](Ops& ops) { ops.matmul(dx, dy, Op::kNone, w, Op::kNone, Accumulate::kNo); });
}

// The fourteen products of one layer's adapters of rank 16.
void weight_gradients(benchmark::State& state) {
  const DType t = dtype_of(state);
  const Held h(t, {kTokens, 16}, 1), x(t, {kTokens, kWidth}, 2), wide(t, {kTokens, kHidden}, 3);
  const Held small(DType::kF32, {16, kWidth}), big(DType::kF32, {16, kHidden}), tall(DType::kF32, {kHidden, 16}),
      low(DType::kF32, {kWidth, 16});
  std::vector<WeightGradient> jobs;
  double flops = 0;
  for (int i = 0; i < 4; ++i) jobs.insert(jobs.end(), {{small, h, x}, {low, x, h}});
  for (int i = 0; i < 3; ++i) jobs.insert(jobs.end(), {{big, h, wide}, {tall, wide, h}});
  for (const WeightGradient& job : jobs) flops += 2.0 * static_cast<double>(job.dw.numel() * kTokens);
  measure(state, "flop/s", flops, [&](Ops& ops) { ops.weight_gradients(jobs); });
}

struct Heads {
  explicit Heads(DType t)
      : q(t, {kTokens, 9, 64}, 1),
        k(t, {kTokens, 3, 64}, 2),
        v(t, {kTokens, 3, 64}, 3),
        o(t, {kTokens, 9, 64}, 4),
        dq(t, {kTokens, 9, 64}),
        dk(t, {kTokens, 3, 64}),
        dv(t, {kTokens, 3, 64}),
        lse(DType::kF32, {9, kTokens}),
        delta(DType::kF32, {9, kTokens}) {}
  Held q, k, v, o, dq, dk, dv, lse, delta;
  Held bounds = ints({0, 512, 1024, 1536, 2048});
  // Multiply-adds of one product of scores, causal.
  static constexpr double kFlops = 4 * 9 * 512.0 * 512.0 / 2 * 64 * 2;
};

void attention(benchmark::State& state) {
  const Heads h(dtype_of(state));
  measure(state, "flop/s", 2 * Heads::kFlops,
          [&](Ops& ops) { ops.attention(h.o, h.lse, h.q, h.k, h.v, h.bounds, 0.125F); });
}

void attention_backward(benchmark::State& state) {
  const Heads h(dtype_of(state));
  device().ops().attention(h.o, h.lse, h.q, h.k, h.v, h.bounds, 0.125F);
  measure(state, "flop/s", 5 * Heads::kFlops, [&](Ops& ops) {
    ops.attention_backward(h.dq, h.dk, h.dv, h.delta, h.q, h.o, h.lse, h.q, h.k, h.v, h.bounds, 0.125F);
  });
}

void dequantize(benchmark::State& state) {
  const std::int64_t n = kHidden * kWidth;
  const std::vector<std::byte> codes(static_cast<std::size_t>(n / 2), std::byte{0x5a}),
      absmax(static_cast<std::size_t>(n / 64), std::byte{7});
  const std::vector<float> nested(sizeof(Nf4Nested) / sizeof(float), 0.1F);
  const PackedTensor w{{Codec::kNF4, 64, true},
                       {n},
                       {codes.data(), absmax.data(), reinterpret_cast<const std::byte*>(nested.data()),
                        reinterpret_cast<const std::byte*>(nested.data())}};
  const Held y(dtype_of(state), {n});
  measure(state, "values/s", static_cast<double>(n), [&](Ops& ops) { ops.dequantize(y, w); });
}

void cross_entropy(benchmark::State& state) {
  const std::int64_t rows = 128;
  const Held logits(DType::kF32, {rows, kVocabulary}, 1, 9.0), dlogits(dtype_of(state), {rows, kVocabulary}),
      losses(DType::kF32, {rows});
  const Held targets(DType::kI32, {rows}, Doubles(rows, 5.0));
  measure(state, "values/s", static_cast<double>(rows * kVocabulary),
          [&](Ops& ops) { ops.cross_entropy(losses, dlogits, logits, targets, 0.1F); });
}

void rms_norm(benchmark::State& state) {
  const DType t = dtype_of(state);
  const Held x(t, {kTokens, kWidth}, 1), y(t, {kTokens, kWidth}), w(DType::kF32, {kWidth}, 2),
      inv_rms(DType::kF32, {kTokens});
  measure(state, "values/s", static_cast<double>(kTokens * kWidth),
          [&](Ops& ops) { ops.rms_norm(y, inv_rms, x, w, 1e-5F); });
}

void rope(benchmark::State& state) {
  const Held x(dtype_of(state), {kTokens, 9, 64}, 1), positions(DType::kI32, {kTokens}, 2, 500),
      inv_freq(DType::kF32, {32}, 3);
  measure(state, "values/s", static_cast<double>(kTokens * kWidth),
          [&](Ops& ops) { ops.rope(x, positions, inv_freq, 1.0F); });
}

void swiglu_backward(benchmark::State& state) {
  const DType t = dtype_of(state);
  const Held gate(t, {kTokens, kHidden}, 1), up(t, {kTokens, kHidden}, 2), dy(t, {kTokens, kHidden}, 3),
      dgate(t, {kTokens, kHidden}), dup(t, {kTokens, kHidden});
  measure(state, "values/s", static_cast<double>(kTokens * kHidden),
          [&](Ops& ops) { ops.swiglu_backward(dgate, dup, dy, gate, up); });
}

void adamw(benchmark::State& state) {
  const std::int64_t n = 4'884'480;  // adapters of rank 16 on every linear
  const Held master(DType::kF32, {n}, 1), m(DType::kF32, {n}, 2),
      v(DType::kF32, {n}, Doubles(static_cast<std::size_t>(n), 0.1)), g(DType::kF32, {n}, 4);
  measure(state, "values/s", static_cast<double>(n),
          [&](Ops& ops) { ops.adamw(master, m, v, g, adamw_step({}, 1e-4, 2), 1.0F); });
}

void sums_of_squares(benchmark::State& state) {
  const std::int64_t n = 4'884'480;
  const Held g(DType::kF32, {n}, 1), sums(DType::kF32, {(n + 4095) / 4096});
  measure(state, "values/s", static_cast<double>(n), [&](Ops& ops) { ops.sums_of_squares(sums, g); });
}

// {0: f32, 1: the compute dtype; m, n, k}
void shapes(benchmark::internal::Benchmark* b) {
  for (const std::int64_t t : {0, 1}) {
    b->Args({t, kTokens, kWidth, kWidth})->Args({t, kTokens, 192, kWidth})->Args({t, kTokens, kHidden, kWidth});
    b->Args({t, kTokens, kWidth, kHidden})
        ->Args({t, kTokens, 16, kWidth})
        ->Args({t, kTokens, kWidth, 16})
        ->Args({t, 256, kVocabulary, kWidth});
  }
}
BENCHMARK(matmul)->Apply(shapes)->UseRealTime();
BENCHMARK(matmul_dx)->Apply(shapes)->UseRealTime();
BENCHMARK(weight_gradients)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK(attention)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK(attention_backward)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK(dequantize)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK(cross_entropy)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK(rms_norm)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK(rope)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK(swiglu_backward)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK(adamw)->Arg(0)->UseRealTime();
BENCHMARK(sums_of_squares)->Arg(0)->UseRealTime();

}  // namespace
}  // namespace shardlora

BENCHMARK_MAIN();
