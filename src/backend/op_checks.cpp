#include "backend/op_checks.h"
#include "tensor/pages.h"

namespace shardlora::checks {

namespace {

void check_shape(const char* what, ConstTensor t, Shape shape) {
  CHECK(t.shape == shape, "{} must be {}, not {}", what, shape.text(), t.shape.text());
}

void check_dtype(const char* what, ConstTensor t, DType dtype) {
  CHECK(t.dtype == dtype, "{} must be {}, not {}", what, name_of(dtype), name_of(t.dtype));
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
  CHECK(t.dtype == DType::kF32 || t.dtype == DType::kBF16 || t.dtype == DType::kF16,
        "{} must be f32, bf16 or f16, not {}", what, name_of(t.dtype));
}

void check_matrix(const char* what, ConstTensor t) {
  CHECK(t.shape.rank() == 2, "{} must have two dimensions, not {}", what, t.shape.text());
}

// q (N, H, D) against k, v (N, G, D).
void check_heads(ConstTensor q, ConstTensor k, ConstTensor v) {
  check_float("q", q);
  CHECK(q.shape.rank() == 3 && k.shape.rank() == 3, "q and k must have three dimensions, not {} and {}", q.shape.text(),
        k.shape.text());
  check_shape("k", k, {q.dim(0), k.dim(1), q.dim(2)});
  check_dtype("k", k, q.dtype);
  check_like("v", v, k);
  CHECK(k.dim(1) > 0 && q.dim(1) % k.dim(1) == 0, "{} query heads cannot share {} key/value heads", q.dim(1), k.dim(1));
  CHECK(q.dim(2) % 8 == 0 && q.dim(2) <= kMaxHeadSize, "a head size must be a multiple of 8 up to {}, not {}",
        kMaxHeadSize, q.dim(2));
}

void check_bounds(ConstTensor bounds) {
  check_dtype("bounds", bounds, DType::kI32);
  CHECK(bounds.shape.rank() == 1 && bounds.dim(0) >= 1, "bounds must be (samples + 1), not {}", bounds.shape.text());
}

void check_slice(const char* what, TableSlice slice, std::int64_t rows) {
  CHECK(slice.vocab == 0 ? slice.first == 0 : 0 <= slice.first && slice.first + rows <= slice.vocab,
        "{} has rows [{}, {}) of {}", what, slice.first, slice.first + rows, slice.vocab);
}

// Caches (S, capacity, G, D) for k (.., G, D).
void check_cache(const KvCache& cache, ConstTensor k, std::int64_t samples) {
  CHECK(cache.k.shape.rank() == 4, "a cache must have four dimensions, not {}", cache.k.shape.text());
  check("the cache of k", cache.k, k.dtype, {samples, cache.capacity(), k.dim(1), k.dim(2)});
  check_like("the cache of v", cache.v, cache.k);
}

}  // namespace

void matmul(ConstTensor y, ConstTensor a, Op op_a, ConstTensor b, Op op_b, Accumulate accumulate, float alpha) {
  check_matrix("y", y);
  check_matrix("a", a);
  check_matrix("b", b);
  check_float("a", a);
  check_float("y", y);
  const std::int64_t m = y.dim(0), n = y.dim(1), k = a.dim(op_a == Op::kNone ? 1 : 0);
  check_shape("a", a, op_a == Op::kNone ? Shape{m, k} : Shape{k, m});
  check("b", b, a.dtype, op_b == Op::kNone ? Shape{k, n} : Shape{n, k});
  CHECK(y.dtype == a.dtype || y.dtype == DType::kF32, "a product of {} gives {} or f32, not {}", name_of(a.dtype),
        name_of(a.dtype), name_of(y.dtype));
  CHECK(k > 0 || m * n == 0, "a product over no values");
  CHECK(accumulate == Accumulate::kNo || alpha == 1, "a product that is added has the factor 1, not {}", alpha);
}

void weight_gradient(const WeightGradient& job) {
  check_dtype("dw", job.dw, DType::kF32);
  matmul(job.dw, job.dy, Op::kTranspose, job.x, Op::kNone, Accumulate::kNo, 1);
}

void dequantize(ConstTensor y, const PackedTensor& w) {
  check_shape("y", y, w.shape);
  check_float("y", y);
  const SectionBytes bytes = section_bytes(w.format, w.shape);
  for (std::size_t s = 0; s < bytes.size(); ++s)
    CHECK(bytes[s] == 0 || w.sections[s] != nullptr, "{} lacks section {}", name_of(w.format), s);
}

void cast(ConstTensor y, ConstTensor x) {
  check_shape("y", y, x.shape);
  check_float("y", y);
  check_float("x", x);
}

void add(ConstTensor y, ConstTensor a, ConstTensor b) {
  check_float("y", y);
  check_like("a", a, y);
  check_like("b", b, y);
}

void add_bias(ConstTensor y, ConstTensor bias) {
  check_matrix("y", y);
  check_float("y", y);
  check("bias", bias, DType::kF32, {y.dim(1)});
}

void embed(ConstTensor y, ConstTensor tokens, ConstTensor table, TableSlice slice) {
  check_matrix("table", table);
  check_float("table", table);
  check_float("y", y);
  check_shape("y", y, {tokens.numel(), table.dim(1)});
  check_dtype("tokens", tokens, DType::kI32);
  check_slice("table", slice, table.dim(0));
}

void embed_backward(ConstTensor dtable, ConstTensor tokens, ConstTensor dy, TableSlice slice) {
  check_matrix("dy", dy);
  check_float("dy", dy);
  check_matrix("dtable", dtable);
  check("dtable", dtable, DType::kF32, {dtable.dim(0), dy.dim(1)});
  check("tokens", tokens, DType::kI32, {dy.dim(0)});
  check_slice("dtable", slice, dtable.dim(0));
}

void gather_rows(ConstTensor y, ConstTensor x, ConstTensor rows) {
  check_matrix("x", x);
  check("y", y, x.dtype, {rows.numel(), x.dim(1)});
  check_dtype("rows", rows, DType::kI32);
}

void scatter_rows(ConstTensor y, ConstTensor x, ConstTensor rows) {
  check_matrix("y", y);
  check("x", x, y.dtype, {rows.numel(), y.dim(1)});
  check_dtype("rows", rows, DType::kI32);
}

void dropout(ConstTensor y, ConstTensor x, const Noise& noise, float p) {
  check_matrix("x", x);
  check_float("x", x);
  check_like("y", y, x);
  check("samples", noise.samples, DType::kI32, {x.dim(0)});
  check("positions", noise.positions, DType::kI32, {x.dim(0)});
  CHECK(0 <= p && p < 1, "dropout of {}", p);
}

void add_noise(ConstTensor x, const Noise& noise, ConstTensor bounds) {
  check_matrix("x", x);
  check_float("x", x);
  check("samples", noise.samples, DType::kI32, {x.dim(0)});
  check("positions", noise.positions, DType::kI32, {x.dim(0)});
  check_bounds(bounds);
}

void rms_norm(ConstTensor y, ConstTensor inv_rms, ConstTensor x, ConstTensor w) {
  check_matrix("x", x);
  check_float("x", x);
  check_like("y", y, x);
  check("inv_rms", inv_rms, DType::kF32, {x.dim(0)});
  check("w", w, DType::kF32, {x.dim(1)});
}

void rms_norm_backward(ConstTensor dx, ConstTensor dy, ConstTensor x, ConstTensor inv_rms, ConstTensor w) {
  check_matrix("x", x);
  check_float("x", x);
  check_like("dx", dx, x);
  check_like("dy", dy, x);
  check("inv_rms", inv_rms, DType::kF32, {x.dim(0)});
  check("w", w, DType::kF32, {x.dim(1)});
}

void rope(ConstTensor x, ConstTensor positions, ConstTensor inv_freq) {
  check_float("x", x);
  CHECK(x.shape.rank() == 3 && x.dim(2) % 2 == 0, "rope turns (N, heads, D) with an even D, not {}", x.shape.text());
  check("positions", positions, DType::kI32, {x.dim(0)});
  check("inv_freq", inv_freq, DType::kF32, {x.dim(2) / 2});
}

void attention(ConstTensor o, ConstTensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds) {
  check_heads(q, k, v);
  check_bounds(bounds);
  check_like("o", o, q);
  check("lse", lse, DType::kF32, {q.dim(1), q.dim(0)});
}

void attention_backward(ConstTensor dq, ConstTensor dk, ConstTensor dv, ConstTensor delta, ConstTensor d_o,
                        ConstTensor o, ConstTensor lse, ConstTensor q, ConstTensor k, ConstTensor v,
                        ConstTensor bounds) {
  check_heads(q, k, v);
  check_bounds(bounds);
  check_like("dq", dq, q);
  check_like("dk", dk, k);
  check_like("dv", dv, k);
  check_like("do", d_o, q);
  check_like("o", o, q);
  check("lse", lse, DType::kF32, {q.dim(1), q.dim(0)});
  check("delta", delta, DType::kF32, {q.dim(1), q.dim(0)});
}

void attention_decode(ConstTensor o, KvCache cache, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor lengths) {
  check_heads(q, k, v);
  check_like("o", o, q);
  check_cache(cache, k, q.dim(0));
  check("lengths", lengths, DType::kI32, {q.dim(0)});
}

void fill_cache(KvCache cache, ConstTensor k, ConstTensor v, ConstTensor bounds) {
  CHECK(k.shape.rank() == 3, "k must have three dimensions, not {}", k.shape.text());
  check_like("v", v, k);
  check_bounds(bounds);
  check_cache(cache, k, bounds.dim(0) - 1);
}

void swiglu(ConstTensor y, ConstTensor gate, ConstTensor up) {
  check_float("y", y);
  check_like("gate", gate, y);
  check_like("up", up, y);
}

void swiglu_backward(ConstTensor dgate, ConstTensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up) {
  check_float("dgate", dgate);
  check_like("dup", dup, dgate);
  check_like("dy", dy, dgate);
  check_like("gate", gate, dgate);
  check_like("up", up, dgate);
}

void cross_entropy(ConstTensor losses, ConstTensor dlogits, ConstTensor logits, ConstTensor targets) {
  check_matrix("logits", logits);
  check_dtype("logits", logits, DType::kF32);
  check("losses", losses, DType::kF32, {logits.dim(0)});
  check("targets", targets, DType::kI32, {logits.dim(0)});
  if (dlogits) check_shape("dlogits", dlogits, logits.shape);
}

void cross_entropy_slice(ConstTensor losses, ConstTensor state, ConstTensor logits, ConstTensor targets,
                         TableSlice slice) {
  cross_entropy(losses, {}, logits, targets);
  check("state", state, DType::kF32, {logits.dim(0), 3});
  check_slice("logits", slice, logits.dim(1));
  CHECK(slice.vocab > 0, "a slice of no vocabulary");
}

void cross_entropy_slice_backward(ConstTensor dlogits, ConstTensor state, ConstTensor logits, ConstTensor targets,
                                  TableSlice slice) {
  check_float("dlogits", dlogits);
  check_shape("dlogits", dlogits, logits.shape);
  check("logits", logits, DType::kF32, {logits.dim(0), logits.dim(1)});
  check("state", state, DType::kF32, {logits.dim(0), 3});
  check("targets", targets, DType::kI32, {logits.dim(0)});
  check_slice("logits", slice, logits.dim(1));
}

void argmax(ConstTensor ids, ConstTensor logits) {
  check_matrix("logits", logits);
  check_dtype("logits", logits, DType::kF32);
  check("ids", ids, DType::kI32, {logits.dim(0)});
}

void adamw(ConstTensor master, ConstTensor m, ConstTensor v, ConstTensor gradient) {
  const std::int64_t n = master.numel();
  for (const ConstTensor t : {ConstTensor(master), ConstTensor(m), ConstTensor(v), gradient}) {
    check_dtype("an AdamW tensor", t, DType::kF32);
    CHECK(t.numel() == n, "AdamW tensors of {} and {} values", t.numel(), n);
  }
}

void sums_of_squares(ConstTensor sums, ConstTensor x) {
  check_dtype("x", x, DType::kF32);
  check("sums", sums, DType::kF32, {element_blocks(x.numel())});
}

}  // namespace shardlora::checks
