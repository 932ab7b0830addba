// What every backend asks of an op's shapes and dtypes before it submits anything: one function for each op of ops.h
// that has something to ask. A breach is our own fault: CHECK.
#pragma once

#include "backend/ops.h"

namespace shardlora::checks {

void matmul(ConstTensor y, ConstTensor a, Op op_a, ConstTensor b, Op op_b, Accumulate accumulate, float alpha);
void weight_gradient(const WeightGradient& job);
void dequantize(ConstTensor y, const PackedTensor& w);
void cast(ConstTensor y, ConstTensor x);
void add(ConstTensor y, ConstTensor a, ConstTensor b);
void add_bias(ConstTensor y, ConstTensor bias);
void embed(ConstTensor y, ConstTensor tokens, ConstTensor table, TableSlice slice);
void embed_backward(ConstTensor dtable, ConstTensor tokens, ConstTensor dy, TableSlice slice);
void gather_rows(ConstTensor y, ConstTensor x, ConstTensor rows);
void scatter_rows(ConstTensor y, ConstTensor x, ConstTensor rows);
void dropout(ConstTensor y, ConstTensor x, const Noise& noise, float p);
void add_noise(ConstTensor x, const Noise& noise, ConstTensor bounds);
void rms_norm(ConstTensor y, ConstTensor inv_rms, ConstTensor x, ConstTensor w);
void rms_norm_backward(ConstTensor dx, ConstTensor dy, ConstTensor x, ConstTensor inv_rms, ConstTensor w);
void rope(ConstTensor x, ConstTensor positions, ConstTensor inv_freq);
void attention(ConstTensor o, ConstTensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds);
void attention_backward(ConstTensor dq, ConstTensor dk, ConstTensor dv, ConstTensor delta, ConstTensor d_o,
                        ConstTensor o, ConstTensor lse, ConstTensor q, ConstTensor k, ConstTensor v,
                        ConstTensor bounds);
void attention_decode(ConstTensor o, KvCache cache, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor lengths);
void fill_cache(KvCache cache, ConstTensor k, ConstTensor v, ConstTensor bounds);
void swiglu(ConstTensor y, ConstTensor gate, ConstTensor up);
void swiglu_backward(ConstTensor dgate, ConstTensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up);
void cross_entropy(ConstTensor losses, ConstTensor dlogits, ConstTensor logits, ConstTensor targets);
void cross_entropy_slice(ConstTensor losses, ConstTensor state, ConstTensor logits, ConstTensor targets,
                         TableSlice slice);
void cross_entropy_slice_backward(ConstTensor dlogits, ConstTensor state, ConstTensor logits, ConstTensor targets,
                                  TableSlice slice);
void argmax(ConstTensor ids, ConstTensor logits);
void adamw(ConstTensor master, ConstTensor m, ConstTensor v, ConstTensor gradient);
void sums_of_squares(ConstTensor sums, ConstTensor x);

}  // namespace shardlora::checks
