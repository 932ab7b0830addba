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

Ceilings measure_ceilings(Device& device, DType dtype, const OpShapes& s, std::vector<Measurement>& out) {
  Ceilings ceilings;
  {
    const Buffer from = device.allocate(s.copied, Tier::kDevice, Purpose::kWorkspace),
                 to = device.allocate(s.copied, Tier::kDevice, Purpose::kWorkspace);
    const double ms =
        median_milliseconds(device, [&] { device.copy(to.data(), from.data(), s.copied, device.compute()); });
    ceilings.copy_gb_per_s = 2.0 * static_cast<double>(s.copied) / ms / 1e6;
    out.push_back({fmt::format("copy of {} MiB", s.copied >> 20), ms, ceilings.copy_gb_per_s, "GB/s", 0});
    const Buffer pinned = device.allocate(s.copied / 4, Tier::kPinned, Purpose::kWorkspace);
    for (const bool up : {true, false}) {
      const double link = median_milliseconds(device, [&] {
        device.copy(up ? to.data() : pinned.data(), up ? pinned.data() : from.data(), pinned.bytes(), device.compute());
      });
      out.push_back({up ? "host to device" : "device to host", link, static_cast<double>(pinned.bytes()) / link / 1e6,
                     "GB/s", 0});
    }
  }
  Pool pool(device);
  const Tensor a = pool.random(dtype, {s.square, s.square}), b = pool.random(dtype, {s.square, s.square}),
               y = pool.empty(dtype, {s.square, s.square});
  const double ms =
      median_milliseconds(device, [&] { device.ops().matmul(y, a, Op::kNone, b, Op::kTranspose, Accumulate::kNo); });
  ceilings.matmul_tflop_per_s = 2.0 * std::pow(static_cast<double>(s.square), 3) / ms / 1e9;
  out.push_back({fmt::format("product {0} x {0} x {0}", s.square), ms, ceilings.matmul_tflop_per_s, "TFLOP/s", 0});
  return ceilings;
}

void measure_ops(Device& device, DType dtype, const OpShapes& s, const Ceilings& ceilings,
                 std::vector<Measurement>& out) {
  Ops& ops = device.ops();
  const auto memory = [&](std::string name, double bytes, const std::function<void()>& work) {
    const double ms = median_milliseconds(device, work), rate = bytes / ms / 1e6;
    out.push_back({std::move(name), ms, rate, "GB/s", rate / ceilings.copy_gb_per_s});
  };
  const auto math = [&](std::string name, double flops, const std::function<void()>& work) {
    const double ms = median_milliseconds(device, work), rate = flops / ms / 1e9;
    out.push_back({std::move(name), ms, rate, "TFLOP/s", rate / ceilings.matmul_tflop_per_s});
  };
  Pool pool(device);
  const Tensor x = pool.random(dtype, {s.tokens, s.hidden}), y = pool.random(dtype, {s.tokens, s.hidden}),
               dx = pool.random(dtype, {s.tokens, s.hidden});
  const Tensor wide = pool.random(dtype, {s.tokens, s.wide}), up = pool.random(dtype, {s.tokens, s.wide}),
               dwide = pool.random(dtype, {s.tokens, s.wide});
  const Tensor w = pool.random(dtype, {s.wide, s.hidden}), norm = pool.random(DType::kF32, {s.hidden}),
               inv_rms = pool.random(DType::kF32, {s.tokens});
  const Tensor a = pool.random(dtype, {s.rank, s.hidden}), xa = pool.random(dtype, {s.tokens, s.rank}),
               da = pool.empty(DType::kF32, {s.rank, s.hidden});

  const auto elements = static_cast<double>(s.tokens * s.hidden);
  {
    const Format nf4{Codec::kNF4, 64, true};
    PackedTensor packed{nf4, {s.wide, s.hidden}, {}};
    const SectionBytes sizes = section_bytes(nf4, {s.wide, s.hidden});
    double bytes = static_cast<double>(w.bytes());
    for (std::size_t i = 0; i < kSections; ++i) {
      packed.sections[i] = pool.random(DType::kF32, {static_cast<std::int64_t>(sizes[i] / 4 + 1)}).data;
      bytes += static_cast<double>(sizes[i]);
    }
    memory(fmt::format("dequantize NF4 {} x {}", s.wide, s.hidden), bytes, [&] { ops.dequantize(w, packed); });
  }
  memory("rms_norm", bytes_of({x, y}), [&] { ops.rms_norm(y, inv_rms, x, norm, 1e-5F); });
  memory("rms_norm_backward", bytes_of({x, y, dx}),
         [&] { ops.rms_norm_backward(dx, y, x, inv_rms, norm, Accumulate::kNo); });
  memory("swiglu", bytes_of({wide, up, dwide}), [&] { ops.swiglu(dwide, wide, up); });
  memory("swiglu_backward", 5 * static_cast<double>(wide.bytes()),
         [&] { ops.swiglu_backward(dwide, up, dwide, wide, up); });
  memory("add", bytes_of({x, y, dx}), [&] { ops.add(dx, x, y); });
  {
    const auto rows = static_cast<std::size_t>(std::min<std::int64_t>(s.vocabulary, 32000));
    std::vector<std::int32_t> positions(static_cast<std::size_t>(s.tokens)), tokens(positions.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      positions[i] = static_cast<std::int32_t>(i);
      tokens[i] = static_cast<std::int32_t>(i * 61 % rows);
    }
    const Tensor at = pool.ints(positions), ids = pool.ints(tokens),
                 table = pool.random(dtype, {static_cast<std::int64_t>(rows), s.hidden}),
                 frequencies = pool.random(DType::kF32, {s.head / 2});
    memory("rope", 2 * bytes_of({x}), [&] { ops.rope(x.view({s.tokens, s.heads, s.head}), at, frequencies, 1.0F); });
    memory("embed", 2 * bytes_of({x}), [&] { ops.embed(y, ids, table); });
  }
  {
    const Tensor logits = pool.random(DType::kF32, {s.chunk, s.vocabulary}),
                 dlogits = pool.empty(dtype, {s.chunk, s.vocabulary}), losses = pool.empty(DType::kF32, {s.chunk});
    const Tensor targets = pool.ints(std::vector<std::int32_t>(static_cast<std::size_t>(s.chunk), 7));
    memory(fmt::format("cross_entropy {} x {}", s.chunk, s.vocabulary), bytes_of({logits, dlogits}),
           [&] { ops.cross_entropy(losses, dlogits, logits, targets, 1e-3F); });
  }
  {
    const Tensor master = pool.random(DType::kF32, {s.adapter}), m = pool.random(DType::kF32, {s.adapter}),
                 v = pool.random(DType::kF32, {s.adapter}), g = pool.random(DType::kF32, {s.adapter});
    ops.zero(v);
    memory("adamw", 7.0 * static_cast<double>(master.bytes()),
           [&] { ops.adamw(master, m, v, g, adamw_step({}, 1e-4, 3), 1.0F); });
  }
  const double product = 2.0 * elements * static_cast<double>(s.wide),
               adapter = 2.0 * elements * static_cast<double>(s.rank);
  math("x w^T (up projection)", product, [&] { ops.matmul(wide, x, Op::kNone, w, Op::kTranspose, Accumulate::kNo); });
  math("dy w (its input's gradient)", product,
       [&] { ops.matmul(dx, wide, Op::kNone, w, Op::kNone, Accumulate::kYes); });
  math(fmt::format("x a^T (adapter, rank {})", s.rank), adapter,
       [&] { ops.matmul(xa, x, Op::kNone, a, Op::kTranspose, Accumulate::kNo); });
  math("da (weight gradient)", adapter, [&] {
    const WeightGradient job{da, xa, x};
    ops.weight_gradients({&job, 1});
  });
  {
    const Tensor q = pool.random(dtype, {s.tokens, s.heads, s.head}),
                 k = pool.random(dtype, {s.tokens, s.groups, s.head}),
                 v = pool.random(dtype, {s.tokens, s.groups, s.head}),
                 o = pool.empty(dtype, {s.tokens, s.heads, s.head}),
                 d_o = pool.random(dtype, {s.tokens, s.heads, s.head}),
                 dq = pool.empty(dtype, {s.tokens, s.heads, s.head}),
                 dk = pool.empty(dtype, {s.tokens, s.groups, s.head}),
                 dv = pool.empty(dtype, {s.tokens, s.groups, s.head}),
                 lse = pool.empty(DType::kF32, {s.heads, s.tokens}),
                 delta = pool.empty(DType::kF32, {s.heads, s.tokens});
    const Tensor bounds = pool.ints({0, static_cast<std::int32_t>(s.tokens)});
    const float scale = 1.0F / std::sqrt(static_cast<float>(s.head));
    const double scores =
        std::pow(static_cast<double>(s.tokens), 2) * static_cast<double>(s.head * s.heads);  // one product, causal
    math("attention", 2 * scores, [&] { ops.attention(o, lse, q, k, v, bounds, scale); });
    math("attention_backward", 5 * scores,
         [&] { ops.attention_backward(dq, dk, dv, delta, d_o, o, lse, q, k, v, bounds, scale); });
  }
}

}  // namespace shardlora
