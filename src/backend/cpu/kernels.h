// The CPU kernels as plain functions: they run at once, on the calling thread and its OpenMP team. Shapes are checked
// by CpuOps; what each computes stands in backend/ops.h. Bits never depend on the number of threads: a sum is made by
// one thread in a fixed order. Matrix products are in matmul.h.
#pragma once

#include <cstddef>

#include "backend/ops.h"

namespace shardlora::cpu {

// Fewer values than this are not worth waking other threads for.
inline constexpr std::int64_t kParallelValues = 16384;

void dequantize(Tensor y, const PackedTensor& w);
void dequantize_ggml(Tensor y, const PackedTensor& w);  // what dequantize does for codecs of quant/ggml.h
void cast(Tensor y, ConstTensor x);
void zero(Tensor y);
void add(Tensor y, ConstTensor a, ConstTensor b);
void add_bias(Tensor y, ConstTensor bias);

void embed(Tensor y, ConstTensor tokens, ConstTensor table, TableSlice slice = {});
void embed_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy, TableSlice slice = {});
void gather_rows(Tensor y, ConstTensor x, ConstTensor rows);
void scatter_rows(Tensor y, ConstTensor x, ConstTensor rows);

void dropout(Tensor y, ConstTensor x, const Noise& noise, float p, Accumulate accumulate);
void add_noise(Tensor x, const Noise& noise, ConstTensor bounds, float alpha);

void rms_norm(Tensor y, Tensor inv_rms, ConstTensor x, ConstTensor w, float eps);
void rms_norm_backward(Tensor dx, ConstTensor dy, ConstTensor x, ConstTensor inv_rms, ConstTensor w,
                       Accumulate accumulate);

void rope(Tensor x, ConstTensor positions, ConstTensor inv_freq, float sign);

void attention(Tensor o, Tensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds, float scale);
// Bytes of scratch that attention_backward takes for k's shape.
std::size_t attention_backward_scratch(const Shape& k);
void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor delta, ConstTensor d_o, ConstTensor o, ConstTensor lse,
                        ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds, float scale,
                        std::byte* scratch);
void attention_decode(Tensor o, KvCache cache, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor lengths,
                      float scale);
void fill_cache(KvCache cache, ConstTensor k, ConstTensor v, ConstTensor bounds);

void swiglu(Tensor y, ConstTensor gate, ConstTensor up);
void swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up);

void cross_entropy(Tensor losses, Tensor dlogits, ConstTensor logits, ConstTensor targets, float gradient_scale);
void cross_entropy_slice(Tensor losses, Tensor state, ConstTensor logits, ConstTensor targets, TableSlice slice);
void cross_entropy_slice_backward(Tensor dlogits, ConstTensor state, ConstTensor logits, ConstTensor targets,
                                  TableSlice slice, float gradient_scale);
void argmax(Tensor ids, ConstTensor logits);

void adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step, float gradient_scale);
void sums_of_squares(Tensor sums, ConstTensor x);

}  // namespace shardlora::cpu
