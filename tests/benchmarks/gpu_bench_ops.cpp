// Each op against what the machine's memory or its matrix units allow.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/philox.h"
#include "benchmarks/gpu_bench.h"

namespace shardlora {

namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double bytes_of(std::initializer_list<ConstTensor> tensors) {
  double sum = 0;
  for (const ConstTensor& t : tensors) sum += static_cast<double>(t.bytes());
  return sum;
}

// Tensors in device memory, filled with small random values: zeros would make matrix units look faster than they are.
class Pool {
 public:
  explicit Pool(Device& device) : device_(device) {}
  Tensor random(DType dtype, Shape shape) {
    Tensor t = empty(dtype, shape);
    if (noise_.bytes() == 0) {
      noise_ = device_.allocate(kNoise * sizeof(float), Tier::kPinned, Purpose::kWorkspace);
      auto* values = reinterpret_cast<float*>(noise_.data());
      for (std::uint32_t i = 0; i < kNoise; ++i) values[i] = uniform(philox({1, 2}, {i, 0, 0, 0}).v[0]) - 0.5F;
      noise_on_device_ = device_.allocate(noise_.bytes(), Tier::kDevice, Purpose::kWorkspace);
      device_.copy(noise_on_device_.data(), noise_.data(), noise_.bytes(), device_.compute());
    }
    const std::int64_t n = t.numel();
    for (std::int64_t begin = 0; begin < n; begin += kNoise) {
      const std::int64_t count = std::min<std::int64_t>(kNoise, n - begin);
      device_.ops().cast({t.data + static_cast<std::size_t>(begin) * size_of(dtype), dtype, {count}},
                         noise_on_device_.tensor(DType::kF32, {count}));
    }
    return t;
  }
  Tensor empty(DType dtype, Shape shape) {
    const Tensor view{nullptr, dtype, shape};
    return buffers_.emplace_back(device_.allocate(view.bytes(), Tier::kDevice, Purpose::kWorkspace))
        .tensor(dtype, shape);
  }
  Tensor ints(const std::vector<std::int32_t>& values) {
    const Tensor t = empty(DType::kI32, {std::ssize(values)});
    device_.copy(t.data, reinterpret_cast<const std::byte*>(values.data()), t.bytes(), device_.compute());
    device_.compute().synchronize();
    return t;
  }

 private:
  static constexpr std::uint32_t kNoise = 1 << 20;
  Device& device_;
  Buffer noise_, noise_on_device_;
  std::vector<Buffer> buffers_;
};

}  // namespace

double median_milliseconds(Device& device, const std::function<void()>& work, int rounds) {
  work();
  device.compute().synchronize();
  double begin = seconds();
  work();
  device.compute().synchronize();
  const int repeats = std::clamp(static_cast<int>(0.02 / std::max(1e-6, seconds() - begin)), 1, 1000);
  std::vector<double> times;
  for (int round = 0; round < rounds; ++round) {
    begin = seconds();
    for (int i = 0; i < repeats; ++i) work();
    device.compute().synchronize();
    times.push_back((seconds() - begin) / repeats * 1e3);
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[static_cast<std::size_t>(rounds / 2)];
}

Ceilings measure_ceilings(Device& device, DType dtype, std::vector<Measurement>& out) {
  Ceilings ceilings;
  {
    constexpr std::size_t kBytes = std::size_t{1} << 30;
    const Buffer from = device.allocate(kBytes, Tier::kDevice, Purpose::kWorkspace),
                 to = device.allocate(kBytes, Tier::kDevice, Purpose::kWorkspace);
    const double ms =
        median_milliseconds(device, [&] { device.copy(to.data(), from.data(), kBytes, device.compute()); });
    ceilings.copy_gb_per_s = 2.0 * static_cast<double>(kBytes) / ms / 1e6;
    out.push_back({"copy of 1 GiB", ms, ceilings.copy_gb_per_s, "GB/s", 0});
    const Buffer pinned = device.allocate(kBytes / 4, Tier::kPinned, Purpose::kWorkspace);
    for (const bool up : {true, false}) {
      const double link = median_milliseconds(device, [&] {
        device.copy(up ? to.data() : pinned.data(), up ? pinned.data() : from.data(), pinned.bytes(), device.compute());
      });
      out.push_back({up ? "host to device" : "device to host", link, static_cast<double>(pinned.bytes()) / link / 1e6,
                     "GB/s", 0});
    }
  }
  Pool pool(device);
  constexpr std::int64_t kSize = 8192;
  const Tensor a = pool.random(dtype, {kSize, kSize}), b = pool.random(dtype, {kSize, kSize}),
               y = pool.empty(dtype, {kSize, kSize});
  const double ms =
      median_milliseconds(device, [&] { device.ops().matmul(y, a, Op::kNone, b, Op::kTranspose, Accumulate::kNo); });
  ceilings.matmul_tflop_per_s = 2.0 * kSize * kSize * kSize / ms / 1e9;
  out.push_back({"product 8192^3", ms, ceilings.matmul_tflop_per_s, "TFLOP/s", 0});
  return ceilings;
}

void measure_ops(Device& device, DType dtype, const Ceilings& ceilings, std::vector<Measurement>& out) {
  constexpr std::int64_t kTokens = 2048, kHidden = 4096, kWide = 14336, kHeads = 32, kGroups = 8, kHead = 128,
                         kVocabulary = 128256, kChunk = 512, kRank = 16;
  Ops& ops = device.ops();
  const auto memory = [&](const char* name, double bytes, const std::function<void()>& work) {
    const double ms = median_milliseconds(device, work), rate = bytes / ms / 1e6;
    out.push_back({name, ms, rate, "GB/s", rate / ceilings.copy_gb_per_s});
  };
  const auto math = [&](const char* name, double flops, const std::function<void()>& work) {
    const double ms = median_milliseconds(device, work), rate = flops / ms / 1e9;
    out.push_back({name, ms, rate, "TFLOP/s", rate / ceilings.matmul_tflop_per_s});
  };
  Pool pool(device);
  const Tensor x = pool.random(dtype, {kTokens, kHidden}), y = pool.random(dtype, {kTokens, kHidden}),
               dx = pool.random(dtype, {kTokens, kHidden});
  const Tensor wide = pool.random(dtype, {kTokens, kWide}), up = pool.random(dtype, {kTokens, kWide}),
               dwide = pool.random(dtype, {kTokens, kWide});
  const Tensor w = pool.random(dtype, {kWide, kHidden}), norm = pool.random(DType::kF32, {kHidden}),
               inv_rms = pool.random(DType::kF32, {kTokens});
  const Tensor a = pool.random(dtype, {kRank, kHidden}), xa = pool.random(dtype, {kTokens, kRank}),
               da = pool.empty(DType::kF32, {kRank, kHidden});

  const auto elements = static_cast<double>(kTokens * kHidden);
  {
    const Format nf4{Codec::kNF4, 64, true};
    PackedTensor packed{nf4, {kWide, kHidden}, {}};
    const SectionBytes sizes = section_bytes(nf4, kWide * kHidden);
    double bytes = static_cast<double>(w.bytes());
    for (std::size_t s = 0; s < kSections; ++s) {
      packed.sections[s] = pool.random(DType::kF32, {static_cast<std::int64_t>(sizes[s] / 4 + 1)}).data;
      bytes += static_cast<double>(sizes[s]);
    }
    memory("dequantize NF4 14336 x 4096", bytes, [&] { ops.dequantize(w, packed); });
  }
  memory("rms_norm", bytes_of({x, y}), [&] { ops.rms_norm(y, inv_rms, x, norm, 1e-5F); });
  memory("rms_norm_backward", bytes_of({x, y, dx}),
         [&] { ops.rms_norm_backward(dx, y, x, inv_rms, norm, Accumulate::kNo); });
  memory("swiglu", bytes_of({wide, up, dwide}), [&] { ops.swiglu(dwide, wide, up); });
  memory("swiglu_backward", 5 * static_cast<double>(wide.bytes()),
         [&] { ops.swiglu_backward(dwide, up, dwide, wide, up); });
  memory("add", bytes_of({x, y, dx}), [&] { ops.add(dx, x, y); });
  {
    std::vector<std::int32_t> positions(kTokens), tokens(kTokens);
    for (std::int32_t i = 0; i < kTokens; ++i) positions[static_cast<std::size_t>(i)] = i;
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i * 61 % 32000);
    const Tensor at = pool.ints(positions), ids = pool.ints(tokens), table = pool.random(dtype, {32000, kHidden}),
                 frequencies = pool.random(DType::kF32, {kHead / 2});
    memory("rope", 2 * bytes_of({x}), [&] { ops.rope(x.view({kTokens, kHeads, kHead}), at, frequencies, 1.0F); });
    memory("embed", 2 * bytes_of({x}), [&] { ops.embed(y, ids, table); });
  }
  {
    const Tensor logits = pool.random(DType::kF32, {kChunk, kVocabulary}),
                 dlogits = pool.empty(dtype, {kChunk, kVocabulary}), losses = pool.empty(DType::kF32, {kChunk});
    const Tensor targets = pool.ints(std::vector<std::int32_t>(kChunk, 7));
    memory("cross_entropy 512 x 128256", bytes_of({logits, dlogits}),
           [&] { ops.cross_entropy(losses, dlogits, logits, targets, 1e-3F); });
  }
  {
    constexpr std::int64_t kAdapter = 1 << 25;
    const Tensor master = pool.random(DType::kF32, {kAdapter}), m = pool.random(DType::kF32, {kAdapter}),
                 v = pool.random(DType::kF32, {kAdapter}), g = pool.random(DType::kF32, {kAdapter});
    ops.zero(v);
    memory("adamw", 7.0 * static_cast<double>(master.bytes()),
           [&] { ops.adamw(master, m, v, g, adamw_step({}, 1e-4, 3), 1.0F); });
  }
  const double product = 2.0 * elements * kWide, adapter = 2.0 * elements * kRank;
  math("x w^T (up projection)", product, [&] { ops.matmul(wide, x, Op::kNone, w, Op::kTranspose, Accumulate::kNo); });
  math("dy w (its input's gradient)", product,
       [&] { ops.matmul(dx, wide, Op::kNone, w, Op::kNone, Accumulate::kYes); });
  math("x a^T (adapter, rank 16)", adapter, [&] { ops.matmul(xa, x, Op::kNone, a, Op::kTranspose, Accumulate::kNo); });
  math("da (weight gradient)", adapter, [&] {
    const WeightGradient job{da, xa, x};
    ops.weight_gradients({&job, 1});
  });
  {
    const Tensor q = pool.random(dtype, {kTokens, kHeads, kHead}), k = pool.random(dtype, {kTokens, kGroups, kHead}),
                 v = pool.random(dtype, {kTokens, kGroups, kHead}), o = pool.empty(dtype, {kTokens, kHeads, kHead}),
                 d_o = pool.random(dtype, {kTokens, kHeads, kHead}), dq = pool.empty(dtype, {kTokens, kHeads, kHead}),
                 dk = pool.empty(dtype, {kTokens, kGroups, kHead}), dv = pool.empty(dtype, {kTokens, kGroups, kHead}),
                 lse = pool.empty(DType::kF32, {kHeads, kTokens}), delta = pool.empty(DType::kF32, {kHeads, kTokens});
    const Tensor bounds = pool.ints({0, static_cast<std::int32_t>(kTokens)});
    const float scale = 1.0F / std::sqrt(static_cast<float>(kHead));
    const double scores = static_cast<double>(kTokens) * kTokens / 2 * kHead * kHeads * 2;  // one product, causal
    math("attention", 2 * scores, [&] { ops.attention(o, lse, q, k, v, bounds, scale); });
    math("attention_backward", 5 * scores,
         [&] { ops.attention_backward(dq, dk, dv, delta, d_o, o, lse, q, k, v, bounds, scale); });
  }
}

}  // namespace shardlora
