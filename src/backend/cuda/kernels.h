// The CUDA kernels as plain functions that submit to a stream and return. Shapes are checked by CudaOps; what each
// computes stands in backend/ops.h. None allocates or waits, none adds floats atomically: the bits depend on values and
// shapes only. Matrix products are in gemm.h.
#pragma once

#include <cuda_runtime_api.h>

#include "backend/ops.h"
#include "quant/quantize.h"

namespace shardlora::cuda {

void dequantize(Tensor y, const PackedTensor& w, cudaStream_t stream);
// What dequantize does for codecs of quant/ggml.h.
void dequantize_ggml(Tensor y, const PackedTensor& w, cudaStream_t stream);
// Fills all sections of `format` with the values, as quant/quantize.h does on the host. absmax (blocks) f32 is scratch
// that only double quantisation needs.
void quantize(const Format& format, const Sections& to, ConstTensor values, Tensor absmax, cudaStream_t stream);
void cast(Tensor y, ConstTensor x, cudaStream_t stream);
void zero(Tensor y, cudaStream_t stream);
void add(Tensor y, ConstTensor a, ConstTensor b, cudaStream_t stream);
void add_bias(Tensor y, ConstTensor bias, cudaStream_t stream);

void embed(Tensor y, ConstTensor tokens, ConstTensor table, TableSlice slice, cudaStream_t stream);
void embed_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy, TableSlice slice, cudaStream_t stream);
void gather_rows(Tensor y, ConstTensor x, ConstTensor rows, cudaStream_t stream);
void scatter_rows(Tensor y, ConstTensor x, ConstTensor rows, cudaStream_t stream);

void dropout(Tensor y, ConstTensor x, const Noise& noise, float p, Accumulate accumulate, cudaStream_t stream);
void add_noise(Tensor x, const Noise& noise, ConstTensor bounds, float alpha, cudaStream_t stream);

void rms_norm(Tensor y, Tensor inv_rms, ConstTensor x, ConstTensor w, float eps, cudaStream_t stream);
void rms_norm_backward(Tensor dx, ConstTensor dy, ConstTensor x, ConstTensor inv_rms, ConstTensor w,
                       Accumulate accumulate, cudaStream_t stream);

void rope(Tensor x, ConstTensor positions, ConstTensor inv_freq, float sign, cudaStream_t stream);

void attention(Tensor o, Tensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds, float scale,
               cudaStream_t stream);
void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor delta, ConstTensor d_o, ConstTensor o, ConstTensor lse,
                        ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds, float scale,
                        cudaStream_t stream);
void attention_decode(Tensor o, KvCache cache, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor lengths,
                      float scale, cudaStream_t stream);
void fill_cache(KvCache cache, ConstTensor k, ConstTensor v, ConstTensor bounds, cudaStream_t stream);

void swiglu(Tensor y, ConstTensor gate, ConstTensor up, cudaStream_t stream);
void swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up, cudaStream_t stream);

void cross_entropy_slice(Tensor losses, Tensor state, ConstTensor logits, ConstTensor targets, TableSlice slice,
                         cudaStream_t stream);
void cross_entropy_slice_backward(Tensor dlogits, ConstTensor state, ConstTensor logits, ConstTensor targets,
                                  TableSlice slice, float gradient_scale, cudaStream_t stream);
void cross_entropy(Tensor losses, Tensor dlogits, ConstTensor logits, ConstTensor targets, float gradient_scale,
                   cudaStream_t stream);
void argmax(Tensor ids, ConstTensor logits, cudaStream_t stream);

void adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step, float gradient_scale,
           cudaStream_t stream);
void sums_of_squares(Tensor sums, ConstTensor x, cudaStream_t stream);

}  // namespace shardlora::cuda
