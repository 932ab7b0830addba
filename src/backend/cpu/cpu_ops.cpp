#include "backend/cpu/cpu_ops.h"

#include <omp.h>

#include <array>

#include "backend/cpu/kernels.h"

namespace shardlora {

namespace {

void check_shape(const char* what, ConstTensor t, Shape shape) {
  DCHECK(t.shape == shape, "{} must be {}, not {}", what, shape.text(), t.shape.text());
}

void check_dtype(const char* what, ConstTensor t, DType dtype) {
  DCHECK(t.dtype == dtype, "{} must be {}, not {}", what, name_of(dtype), name_of(t.dtype));
}

void check_like(const char* what, ConstTensor t, ConstTensor other) {
  check_shape(what, t, other.shape);
  check_dtype(what, t, other.dtype);
}

void check(const char* what, ConstTensor t, DType dtype, Shape shape) {
  check_shape(what, t, shape);
  check_dtype(what, t, dtype);
}

void check_float(const char* what, ConstTensor t) {
  DCHECK(t.dtype == DType::kF32 || t.dtype == DType::kBF16, "{} must be f32 or bf16, not {}", what, name_of(t.dtype));
}

void check_matrix(const char* what, ConstTensor t) {
  DCHECK(t.shape.rank() == 2, "{} must have two dimensions, not {}", what, t.shape.text());
}

// q (N, H, D) against k, v (N, G, D).
void check_heads(ConstTensor q, ConstTensor k, ConstTensor v) {
  check_float("q", q);
  DCHECK(q.shape.rank() == 3 && k.shape.rank() == 3, "q and k must have three dimensions, not {} and {}",
         q.shape.text(), k.shape.text());
  check_shape("k", k, {q.dim(0), k.dim(1), q.dim(2)});
  check_dtype("k", k, q.dtype);
  check_like("v", v, k);
  DCHECK(k.dim(1) > 0 && q.dim(1) % k.dim(1) == 0, "{} query heads cannot share {} key/value heads", q.dim(1),
         k.dim(1));
  DCHECK(q.dim(2) % 8 == 0 && q.dim(2) <= kMaxHeadSize, "a head size must be a multiple of 8 up to {}, not {}",
         kMaxHeadSize, q.dim(2));
}

void check_bounds(ConstTensor bounds) {
  check_dtype("bounds", bounds, DType::kI32);
  DCHECK(bounds.shape.rank() == 1 && bounds.dim(0) >= 1, "bounds must be (samples + 1), not {}", bounds.shape.text());
}

// Caches (S, capacity, G, D) for k (.., G, D).
void check_cache(const KvCache& cache, ConstTensor k, std::int64_t samples) {
  DCHECK(cache.k.shape.rank() == 4, "a cache must have four dimensions, not {}", cache.k.shape.text());
  check("the cache of k", cache.k, k.dtype, {samples, cache.capacity(), k.dim(1), k.dim(2)});
  check_like("the cache of v", cache.v, cache.k);
}

cpu::Product checked(const cpu::Product& p) {
  check_matrix("y", p.y);
  check_matrix("a", p.a);
  check_matrix("b", p.b);
  check_float("a", p.a);
  check_float("y", p.y);
  const std::int64_t m = p.y.dim(0), n = p.y.dim(1), k = p.a.dim(p.op_a == Op::kNone ? 1 : 0);
  check_shape("a", p.a, p.op_a == Op::kNone ? Shape{m, k} : Shape{k, m});
  check("b", p.b, p.a.dtype, p.op_b == Op::kNone ? Shape{k, n} : Shape{n, k});
  DCHECK(p.y.dtype == p.a.dtype || p.y.dtype == DType::kF32, "a product of {} gives {} or f32, not {}",
         name_of(p.a.dtype), name_of(p.a.dtype), name_of(p.y.dtype));
  DCHECK(k > 0 || m * n == 0, "a product over no values");
  return p;
}

}  // namespace

CpuOps::CpuOps(CpuStream& compute, Device& device, int threads)
    : compute_(compute), device_(device), matmul_(threads > 0 ? threads : omp_get_max_threads()) {}

std::byte* CpuOps::scratch(std::size_t bytes) {
  if (bytes > scratch_.bytes()) {
    compute_.synchronize();  // what is queued still uses the old one
    scratch_ = Buffer();
    scratch_ = device_.allocate(bytes, Tier::kDevice, Purpose::kWorkspace);
  }
  return scratch_.data();
}

void CpuOps::submit(std::span<const cpu::Product> products) {
  if (matmul_.crowded()) {
    compute_.synchronize();
    matmul_.forget();
  }
  cpu::MatmulPlan plan = matmul_.plan(products);
  if (plan.blocks.empty()) return;
  std::byte* const memory = scratch(plan.scratch_bytes);
  compute_.submit([this, plan = std::move(plan), memory] { matmul_.run(plan, memory); });
}

void CpuOps::matmul(Tensor y, ConstTensor a, Op op_a, ConstTensor b, Op op_b, Accumulate accumulate) {
  const std::array<cpu::Product, 1> product{checked({y, a, op_a, b, op_b, accumulate})};
  submit(product);
}

void CpuOps::weight_gradients(std::span<const WeightGradient> jobs) {
  std::vector<cpu::Product> products;
  products.reserve(jobs.size());
  for (const WeightGradient& job : jobs) {
    check_dtype("dw", job.dw, DType::kF32);
    products.push_back(checked({job.dw, job.dy, Op::kTranspose, job.x, Op::kNone, Accumulate::kNo}));
  }
  submit(products);
}

void CpuOps::dequantize(Tensor y, const PackedTensor& w) {
  check_shape("y", y, w.shape);
  check_float("y", y);
  DCHECK(w.format.dense() || (w.format.block > 0 && w.format.block % 2 == 0), "a block of {} values", w.format.block);
  compute_.submit([=] { cpu::dequantize(y, w); });
}

void CpuOps::cast(Tensor y, ConstTensor x) {
  check_shape("y", y, x.shape);
  check_float("y", y);
  check_float("x", x);
  compute_.submit([=] { cpu::cast(y, x); });
}

void CpuOps::zero(Tensor y) {
  compute_.submit([=] { cpu::zero(y); });
}

void CpuOps::add(Tensor y, ConstTensor a, ConstTensor b) {
  check_float("y", y);
  check_like("a", a, y);
  check_like("b", b, y);
  compute_.submit([=] { cpu::add(y, a, b); });
}

void CpuOps::add_bias(Tensor y, ConstTensor bias) {
  check_matrix("y", y);
  check_float("y", y);
  check("bias", bias, DType::kF32, {y.dim(1)});
  compute_.submit([=] { cpu::add_bias(y, bias); });
}

void CpuOps::scale(Tensor y, float factor) {
  check_float("y", y);
  compute_.submit([=] { cpu::scale(y, factor); });
}

void CpuOps::embed(Tensor y, ConstTensor tokens, ConstTensor table) {
  check_matrix("table", table);
  check_float("table", table);
  check_float("y", y);
  check_shape("y", y, {tokens.numel(), table.dim(1)});
  check_dtype("tokens", tokens, DType::kI32);
  compute_.submit([=] { cpu::embed(y, tokens, table); });
}

void CpuOps::embed_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy) {
  check_matrix("dy", dy);
  check_float("dy", dy);
  check_matrix("dtable", dtable);
  check("dtable", dtable, DType::kF32, {dtable.dim(0), dy.dim(1)});
  check("tokens", tokens, DType::kI32, {dy.dim(0)});
  compute_.submit([=] { cpu::embed_backward(dtable, tokens, dy); });
}

void CpuOps::gather_rows(Tensor y, ConstTensor x, ConstTensor rows) {
  check_matrix("x", x);
  check("y", y, x.dtype, {rows.numel(), x.dim(1)});
  check_dtype("rows", rows, DType::kI32);
  compute_.submit([=] { cpu::gather_rows(y, x, rows); });
}

void CpuOps::scatter_rows(Tensor y, ConstTensor x, ConstTensor rows) {
  check_matrix("y", y);
  check("x", x, y.dtype, {rows.numel(), y.dim(1)});
  check_dtype("rows", rows, DType::kI32);
  compute_.submit([=] { cpu::scatter_rows(y, x, rows); });
}

void CpuOps::dropout(Tensor y, ConstTensor x, const Noise& noise, float p, Accumulate accumulate) {
  check_matrix("x", x);
  check_float("x", x);
  check_like("y", y, x);
  check("samples", noise.samples, DType::kI32, {x.dim(0)});
  check("positions", noise.positions, DType::kI32, {x.dim(0)});
  DCHECK(0 <= p && p < 1, "dropout of {}", p);
  compute_.submit([=] { cpu::dropout(y, x, noise, p, accumulate); });
}

void CpuOps::add_noise(Tensor x, const Noise& noise, ConstTensor bounds, float alpha) {
  check_matrix("x", x);
  check_float("x", x);
  check("samples", noise.samples, DType::kI32, {x.dim(0)});
  check("positions", noise.positions, DType::kI32, {x.dim(0)});
  check_bounds(bounds);
  compute_.submit([=] { cpu::add_noise(x, noise, bounds, alpha); });
}

void CpuOps::rms_norm(Tensor y, Tensor inv_rms, ConstTensor x, ConstTensor w, float eps) {
  check_matrix("x", x);
  check_float("x", x);
  check_like("y", y, x);
  check("inv_rms", inv_rms, DType::kF32, {x.dim(0)});
  check("w", w, DType::kF32, {x.dim(1)});
  compute_.submit([=] { cpu::rms_norm(y, inv_rms, x, w, eps); });
}

void CpuOps::rms_norm_backward(Tensor dx, ConstTensor dy, ConstTensor x, ConstTensor inv_rms, ConstTensor w,
                               Accumulate accumulate) {
  check_matrix("x", x);
  check_float("x", x);
  check_like("dx", dx, x);
  check_like("dy", dy, x);
  check("inv_rms", inv_rms, DType::kF32, {x.dim(0)});
  check("w", w, DType::kF32, {x.dim(1)});
  compute_.submit([=] { cpu::rms_norm_backward(dx, dy, x, inv_rms, w, accumulate); });
}

void CpuOps::rope(Tensor x, ConstTensor positions, ConstTensor inv_freq, float sign) {
  check_float("x", x);
  DCHECK(x.shape.rank() == 3 && x.dim(2) % 2 == 0, "rope turns (N, heads, D) with an even D, not {}", x.shape.text());
  check("positions", positions, DType::kI32, {x.dim(0)});
  check("inv_freq", inv_freq, DType::kF32, {x.dim(2) / 2});
  compute_.submit([=] { cpu::rope(x, positions, inv_freq, sign); });
}

void CpuOps::attention(Tensor o, Tensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds,
                       float scale) {
  check_heads(q, k, v);
  check_bounds(bounds);
  check_like("o", o, q);
  check("lse", lse, DType::kF32, {q.dim(1), q.dim(0)});
  compute_.submit([=] { cpu::attention(o, lse, q, k, v, bounds, scale); });
}

void CpuOps::reserve_attention_backward(const Shape& k) { scratch(cpu::attention_backward_scratch(k)); }

void CpuOps::attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor delta, ConstTensor d_o, ConstTensor o,
                                ConstTensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds,
                                float scale) {
  check_heads(q, k, v);
  check_bounds(bounds);
  check_like("dq", dq, q);
  check_like("dk", dk, k);
  check_like("dv", dv, k);
  check_like("do", d_o, q);
  check_like("o", o, q);
  check("lse", lse, DType::kF32, {q.dim(1), q.dim(0)});
  check("delta", delta, DType::kF32, {q.dim(1), q.dim(0)});
  std::byte* const memory = scratch(cpu::attention_backward_scratch(k.shape));
  compute_.submit([=] { cpu::attention_backward(dq, dk, dv, delta, d_o, o, lse, q, k, v, bounds, scale, memory); });
}

void CpuOps::attention_decode(Tensor o, KvCache cache, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor lengths,
                              float scale) {
  check_heads(q, k, v);
  check_like("o", o, q);
  check_cache(cache, k, q.dim(0));
  check("lengths", lengths, DType::kI32, {q.dim(0)});
  compute_.submit([=] { cpu::attention_decode(o, cache, q, k, v, lengths, scale); });
}

void CpuOps::fill_cache(KvCache cache, ConstTensor k, ConstTensor v, ConstTensor bounds) {
  DCHECK(k.shape.rank() == 3, "k must have three dimensions, not {}", k.shape.text());
  check_like("v", v, k);
  check_bounds(bounds);
  check_cache(cache, k, bounds.dim(0) - 1);
  compute_.submit([=] { cpu::fill_cache(cache, k, v, bounds); });
}

void CpuOps::swiglu(Tensor y, ConstTensor gate, ConstTensor up) {
  check_float("y", y);
  check_like("gate", gate, y);
  check_like("up", up, y);
  compute_.submit([=] { cpu::swiglu(y, gate, up); });
}

void CpuOps::swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up) {
  check_float("dgate", dgate);
  check_like("dup", dup, dgate);
  check_like("dy", dy, dgate);
  check_like("gate", gate, dgate);
  check_like("up", up, dgate);
  compute_.submit([=] { cpu::swiglu_backward(dgate, dup, dy, gate, up); });
}

void CpuOps::cross_entropy(Tensor losses, Tensor dlogits, ConstTensor logits, ConstTensor targets,
                           float gradient_scale) {
  check_matrix("logits", logits);
  check_dtype("logits", logits, DType::kF32);
  check("losses", losses, DType::kF32, {logits.dim(0)});
  check("targets", targets, DType::kI32, {logits.dim(0)});
  if (dlogits) check_shape("dlogits", dlogits, logits.shape);
  compute_.submit([=] { cpu::cross_entropy(losses, dlogits, logits, targets, gradient_scale); });
}

void CpuOps::argmax(Tensor ids, ConstTensor logits) {
  check_matrix("logits", logits);
  check_dtype("logits", logits, DType::kF32);
  check("ids", ids, DType::kI32, {logits.dim(0)});
  compute_.submit([=] { cpu::argmax(ids, logits); });
}

void CpuOps::adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step,
                   float gradient_scale) {
  const std::int64_t n = master.numel();
  for (const ConstTensor t : {ConstTensor(master), ConstTensor(m), ConstTensor(v), gradient}) {
    check_dtype("an AdamW tensor", t, DType::kF32);
    DCHECK(t.numel() == n, "AdamW tensors of {} and {} values", t.numel(), n);
  }
  compute_.submit([=] { cpu::adamw(master, m, v, gradient, step, gradient_scale); });
}

void CpuOps::sums_of_squares(Tensor sums, ConstTensor x) {
  check_dtype("x", x, DType::kF32);
  check("sums", sums, DType::kF32, {(x.numel() + kSumBlock - 1) / kSumBlock});
  compute_.submit([=] { cpu::sums_of_squares(sums, x); });
}

}  // namespace shardlora
