#include "backend/cpu/cpu_ops.h"

#include <omp.h>

#include <array>
#include <utility>

#include "backend/cpu/kernels.h"
#include "backend/op_checks.h"

namespace shardlora {

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

template <typename Work>
void CpuOps::submit(Work&& work) {
  if (!rehearsing_) compute_.submit(std::forward<Work>(work));
}

void CpuOps::multiply(std::span<const cpu::Product> products, std::int64_t grain) {
  if (rehearsing_) {
    for (const cpu::Product& product : products) scratch(matmul_.most_scratch_bytes(product, grain));
    return;
  }
  if (matmul_.crowded()) {
    compute_.synchronize();
    matmul_.forget();
  }
  cpu::MatmulPlan plan = matmul_.plan(products);
  if (plan.blocks.empty()) return;
  std::byte* const memory = scratch(plan.scratch_bytes);
  compute_.submit([this, plan = std::move(plan), memory] { matmul_.run(plan, memory); });
}

void CpuOps::matmul(Tensor y, ConstTensor a, Op op_a, ConstTensor b, Op op_b, Accumulate accumulate, float alpha) {
  checks::matmul(y, a, op_a, b, op_b, accumulate, alpha);
  const std::array<cpu::Product, 1> product{{{y, a, op_a, b, op_b, accumulate, alpha}}};
  multiply(product, 1);
}

void CpuOps::weight_gradients(std::span<const WeightGradient> jobs) {
  std::vector<cpu::Product> products;
  products.reserve(jobs.size());
  for (const WeightGradient& job : jobs) {
    checks::weight_gradient(job);
    products.push_back({job.dw, job.dy, Op::kTranspose, job.x, Op::kNone, Accumulate::kNo});
  }
  multiply(products, kRowGrain);
}

void CpuOps::dequantize(Tensor y, const PackedTensor& w) {
  checks::dequantize(y, w);
  submit([=] { cpu::dequantize(y, w); });
}

void CpuOps::cast(Tensor y, ConstTensor x) {
  checks::cast(y, x);
  submit([=] { cpu::cast(y, x); });
}

void CpuOps::zero(Tensor y) {
  submit([=] { cpu::zero(y); });
}

void CpuOps::add(Tensor y, ConstTensor a, ConstTensor b) {
  checks::add(y, a, b);
  submit([=] { cpu::add(y, a, b); });
}

void CpuOps::add_bias(Tensor y, ConstTensor bias) {
  checks::add_bias(y, bias);
  submit([=] { cpu::add_bias(y, bias); });
}

void CpuOps::embed(Tensor y, ConstTensor tokens, ConstTensor table, TableSlice slice) {
  checks::embed(y, tokens, table, slice);
  submit([=] { cpu::embed(y, tokens, table, slice); });
}

void CpuOps::embed_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy, TableSlice slice) {
  checks::embed_backward(dtable, tokens, dy, slice);
  submit([=] { cpu::embed_backward(dtable, tokens, dy, slice); });
}

void CpuOps::gather_rows(Tensor y, ConstTensor x, ConstTensor rows) {
  checks::gather_rows(y, x, rows);
  submit([=] { cpu::gather_rows(y, x, rows); });
}

void CpuOps::scatter_rows(Tensor y, ConstTensor x, ConstTensor rows) {
  checks::scatter_rows(y, x, rows);
  submit([=] { cpu::scatter_rows(y, x, rows); });
}

void CpuOps::dropout(Tensor y, ConstTensor x, const Noise& noise, float p, Accumulate accumulate) {
  checks::dropout(y, x, noise, p);
  submit([=] { cpu::dropout(y, x, noise, p, accumulate); });
}

void CpuOps::add_noise(Tensor x, const Noise& noise, ConstTensor bounds, float alpha) {
  checks::add_noise(x, noise, bounds);
  submit([=] { cpu::add_noise(x, noise, bounds, alpha); });
}

void CpuOps::rms_norm(Tensor y, Tensor inv_rms, ConstTensor x, ConstTensor w, float eps) {
  checks::rms_norm(y, inv_rms, x, w);
  submit([=] { cpu::rms_norm(y, inv_rms, x, w, eps); });
}

void CpuOps::rms_norm_backward(Tensor dx, ConstTensor dy, ConstTensor x, ConstTensor inv_rms, ConstTensor w,
                               Accumulate accumulate) {
  checks::rms_norm_backward(dx, dy, x, inv_rms, w);
  submit([=] { cpu::rms_norm_backward(dx, dy, x, inv_rms, w, accumulate); });
}

void CpuOps::rope(Tensor x, ConstTensor positions, ConstTensor inv_freq, float sign) {
  checks::rope(x, positions, inv_freq);
  submit([=] { cpu::rope(x, positions, inv_freq, sign); });
}

void CpuOps::attention(Tensor o, Tensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds,
                       float scale) {
  checks::attention(o, lse, q, k, v, bounds);
  submit([=] { cpu::attention(o, lse, q, k, v, bounds, scale); });
}

void CpuOps::attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor delta, ConstTensor d_o, ConstTensor o,
                                ConstTensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds,
                                float scale) {
  checks::attention_backward(dq, dk, dv, delta, d_o, o, lse, q, k, v, bounds);
  std::byte* const memory = scratch(cpu::attention_backward_scratch(k.shape));
  submit([=] { cpu::attention_backward(dq, dk, dv, delta, d_o, o, lse, q, k, v, bounds, scale, memory); });
}

void CpuOps::attention_decode(Tensor o, KvCache cache, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor lengths,
                              float scale) {
  checks::attention_decode(o, cache, q, k, v, lengths);
  submit([=] { cpu::attention_decode(o, cache, q, k, v, lengths, scale); });
}

void CpuOps::fill_cache(KvCache cache, ConstTensor k, ConstTensor v, ConstTensor bounds) {
  checks::fill_cache(cache, k, v, bounds);
  submit([=] { cpu::fill_cache(cache, k, v, bounds); });
}

void CpuOps::swiglu(Tensor y, ConstTensor gate, ConstTensor up) {
  checks::swiglu(y, gate, up);
  submit([=] { cpu::swiglu(y, gate, up); });
}

void CpuOps::swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up) {
  checks::swiglu_backward(dgate, dup, dy, gate, up);
  submit([=] { cpu::swiglu_backward(dgate, dup, dy, gate, up); });
}

void CpuOps::cross_entropy(Tensor losses, Tensor dlogits, ConstTensor logits, ConstTensor targets,
                           float gradient_scale) {
  checks::cross_entropy(losses, dlogits, logits, targets);
  submit([=] { cpu::cross_entropy(losses, dlogits, logits, targets, gradient_scale); });
}

void CpuOps::cross_entropy_slice(Tensor losses, Tensor state, ConstTensor logits, ConstTensor targets,
                                 TableSlice slice) {
  checks::cross_entropy_slice(losses, state, logits, targets, slice);
  submit([=] { cpu::cross_entropy_slice(losses, state, logits, targets, slice); });
}

void CpuOps::cross_entropy_slice_backward(Tensor dlogits, ConstTensor state, ConstTensor logits, ConstTensor targets,
                                          TableSlice slice, float gradient_scale) {
  checks::cross_entropy_slice_backward(dlogits, state, logits, targets, slice);
  submit([=] { cpu::cross_entropy_slice_backward(dlogits, state, logits, targets, slice, gradient_scale); });
}

void CpuOps::argmax(Tensor ids, ConstTensor logits) {
  checks::argmax(ids, logits);
  submit([=] { cpu::argmax(ids, logits); });
}

void CpuOps::adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step,
                   float gradient_scale) {
  checks::adamw(master, m, v, gradient);
  submit([=] { cpu::adamw(master, m, v, gradient, step, gradient_scale); });
}

void CpuOps::sums_of_squares(Tensor sums, ConstTensor x) {
  checks::sums_of_squares(sums, x);
  submit([=] { cpu::sums_of_squares(sums, x); });
}

}  // namespace shardlora
