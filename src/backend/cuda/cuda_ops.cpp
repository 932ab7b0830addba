#include "backend/cuda/cuda_ops.h"

#include "backend/cuda/kernels.h"
#include "backend/op_checks.h"

namespace shardlora {

void CudaOps::matmul(Tensor y, ConstTensor a, Op op_a, ConstTensor b, Op op_b, Accumulate accumulate, float alpha) {
  checks::matmul(y, a, op_a, b, op_b, accumulate, alpha);
  gemm_.run(y, a, op_a, b, op_b, accumulate, alpha, stream_);
}

void CudaOps::weight_gradients(std::span<const WeightGradient> jobs) {
  for (const WeightGradient& job : jobs) {
    checks::weight_gradient(job);
    gemm_.run(job.dw, job.dy, Op::kTranspose, job.x, Op::kNone, Accumulate::kNo, 1.0F, stream_);
  }
}

void CudaOps::dequantize(Tensor y, const PackedTensor& w) {
  checks::dequantize(y, w);
  cuda::dequantize(y, w, stream_);
}

void CudaOps::cast(Tensor y, ConstTensor x) {
  checks::cast(y, x);
  cuda::cast(y, x, stream_);
}

void CudaOps::zero(Tensor y) { cuda::zero(y, stream_); }

void CudaOps::add(Tensor y, ConstTensor a, ConstTensor b) {
  checks::add(y, a, b);
  cuda::add(y, a, b, stream_);
}

void CudaOps::add_bias(Tensor y, ConstTensor bias) {
  checks::add_bias(y, bias);
  cuda::add_bias(y, bias, stream_);
}

void CudaOps::embed(Tensor y, ConstTensor tokens, ConstTensor table, TableSlice slice) {
  checks::embed(y, tokens, table, slice);
  cuda::embed(y, tokens, table, slice, stream_);
}

void CudaOps::embed_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy, TableSlice slice) {
  checks::embed_backward(dtable, tokens, dy, slice);
  cuda::embed_backward(dtable, tokens, dy, slice, stream_);
}

void CudaOps::gather_rows(Tensor y, ConstTensor x, ConstTensor rows) {
  checks::gather_rows(y, x, rows);
  cuda::gather_rows(y, x, rows, stream_);
}

void CudaOps::scatter_rows(Tensor y, ConstTensor x, ConstTensor rows) {
  checks::scatter_rows(y, x, rows);
  cuda::scatter_rows(y, x, rows, stream_);
}

void CudaOps::dropout(Tensor y, ConstTensor x, const Noise& noise, float p, Accumulate accumulate) {
  checks::dropout(y, x, noise, p);
  cuda::dropout(y, x, noise, p, accumulate, stream_);
}

void CudaOps::add_noise(Tensor x, const Noise& noise, ConstTensor bounds, float alpha) {
  checks::add_noise(x, noise, bounds);
  cuda::add_noise(x, noise, bounds, alpha, stream_);
}

void CudaOps::rms_norm(Tensor y, Tensor inv_rms, ConstTensor x, ConstTensor w, float eps) {
  checks::rms_norm(y, inv_rms, x, w);
  cuda::rms_norm(y, inv_rms, x, w, eps, stream_);
}

void CudaOps::rms_norm_backward(Tensor dx, ConstTensor dy, ConstTensor x, ConstTensor inv_rms, ConstTensor w,
                                Accumulate accumulate) {
  checks::rms_norm_backward(dx, dy, x, inv_rms, w);
  cuda::rms_norm_backward(dx, dy, x, inv_rms, w, accumulate, stream_);
}

void CudaOps::rope(Tensor x, ConstTensor positions, ConstTensor inv_freq, float sign) {
  checks::rope(x, positions, inv_freq);
  cuda::rope(x, positions, inv_freq, sign, stream_);
}

void CudaOps::attention(Tensor o, Tensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds,
                        float scale) {
  checks::attention(o, lse, q, k, v, bounds);
  cuda::attention(o, lse, q, k, v, bounds, scale, stream_);
}

void CudaOps::attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor delta, ConstTensor d_o, ConstTensor o,
                                 ConstTensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds,
                                 float scale) {
  checks::attention_backward(dq, dk, dv, delta, d_o, o, lse, q, k, v, bounds);
  cuda::attention_backward(dq, dk, dv, delta, d_o, o, lse, q, k, v, bounds, scale, stream_);
}

void CudaOps::attention_decode(Tensor o, KvCache cache, ConstTensor q, ConstTensor k, ConstTensor v,
                               ConstTensor lengths, float scale) {
  checks::attention_decode(o, cache, q, k, v, lengths);
  cuda::attention_decode(o, cache, q, k, v, lengths, scale, stream_);
}

void CudaOps::fill_cache(KvCache cache, ConstTensor k, ConstTensor v, ConstTensor bounds) {
  checks::fill_cache(cache, k, v, bounds);
  cuda::fill_cache(cache, k, v, bounds, stream_);
}

void CudaOps::swiglu(Tensor y, ConstTensor gate, ConstTensor up) {
  checks::swiglu(y, gate, up);
  cuda::swiglu(y, gate, up, stream_);
}

void CudaOps::swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up) {
  checks::swiglu_backward(dgate, dup, dy, gate, up);
  cuda::swiglu_backward(dgate, dup, dy, gate, up, stream_);
}

void CudaOps::cross_entropy(Tensor losses, Tensor dlogits, ConstTensor logits, ConstTensor targets,
                            float gradient_scale) {
  checks::cross_entropy(losses, dlogits, logits, targets);
  cuda::cross_entropy(losses, dlogits, logits, targets, gradient_scale, stream_);
}

void CudaOps::cross_entropy_slice(Tensor losses, Tensor state, ConstTensor logits, ConstTensor targets,
                                  TableSlice slice) {
  checks::cross_entropy_slice(losses, state, logits, targets, slice);
  cuda::cross_entropy_slice(losses, state, logits, targets, slice, stream_);
}

void CudaOps::cross_entropy_slice_backward(Tensor dlogits, ConstTensor state, ConstTensor logits, ConstTensor targets,
                                           TableSlice slice, float gradient_scale) {
  checks::cross_entropy_slice_backward(dlogits, state, logits, targets, slice);
  cuda::cross_entropy_slice_backward(dlogits, state, logits, targets, slice, gradient_scale, stream_);
}

void CudaOps::argmax(Tensor ids, ConstTensor logits) {
  checks::argmax(ids, logits);
  cuda::argmax(ids, logits, stream_);
}

void CudaOps::adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step,
                    float gradient_scale) {
  checks::adamw(master, m, v, gradient);
  cuda::adamw(master, m, v, gradient, step, gradient_scale, stream_);
}

void CudaOps::sums_of_squares(Tensor sums, ConstTensor x) {
  checks::sums_of_squares(sums, x);
  cuda::sums_of_squares(sums, x, stream_);
}

}  // namespace shardlora
