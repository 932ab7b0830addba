// The kernels of a GPU: checks shapes and dtypes, then submits to the compute stream.
#pragma once

#include "backend/cuda/cuda_stream.h"
#include "backend/cuda/gemm.h"
#include "backend/ops.h"

namespace shardlora {

class CudaOps final : public Ops {
 public:
  // Workspace of the matrix products comes from `device`.
  CudaOps(CudaStream& compute, Device& device) : stream_(compute.native()), gemm_(device) {}

  // Workspace is taken when this is made.
  bool begin_rehearsal() override { return false; }
  void end_rehearsal() override {}
  void matmul(Tensor y, ConstTensor a, Op op_a, ConstTensor b, Op op_b, Accumulate accumulate, float alpha) override;
  void weight_gradients(std::span<const WeightGradient> jobs) override;
  void dequantize(Tensor y, const PackedTensor& w) override;
  void cast(Tensor y, ConstTensor x) override;
  void zero(Tensor y) override;
  void add(Tensor y, ConstTensor a, ConstTensor b) override;
  void add_bias(Tensor y, ConstTensor bias) override;
  void embed(Tensor y, ConstTensor tokens, ConstTensor table, TableSlice slice) override;
  void embed_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy, TableSlice slice) override;
  void gather_rows(Tensor y, ConstTensor x, ConstTensor rows) override;
  void scatter_rows(Tensor y, ConstTensor x, ConstTensor rows) override;
  void dropout(Tensor y, ConstTensor x, const Noise& noise, float p, Accumulate accumulate) override;
  void add_noise(Tensor x, const Noise& noise, ConstTensor bounds, float alpha) override;
  void rms_norm(Tensor y, Tensor inv_rms, ConstTensor x, ConstTensor w, float eps) override;
  void rms_norm_backward(Tensor dx, ConstTensor dy, ConstTensor x, ConstTensor inv_rms, ConstTensor w,
                         Accumulate accumulate) override;
  void rope(Tensor x, ConstTensor positions, ConstTensor inv_freq, float sign) override;
  void attention(Tensor o, Tensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds,
                 float scale) override;
  void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor delta, ConstTensor d_o, ConstTensor o,
                          ConstTensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds,
                          float scale) override;
  void attention_decode(Tensor o, KvCache cache, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor lengths,
                        float scale) override;
  void fill_cache(KvCache cache, ConstTensor k, ConstTensor v, ConstTensor bounds) override;
  void swiglu(Tensor y, ConstTensor gate, ConstTensor up) override;
  void swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up) override;
  void cross_entropy(Tensor losses, Tensor dlogits, ConstTensor logits, ConstTensor targets,
                     float gradient_scale) override;
  void cross_entropy_slice(Tensor losses, Tensor state, ConstTensor logits, ConstTensor targets,
                           TableSlice slice) override;
  void cross_entropy_slice_backward(Tensor dlogits, ConstTensor state, ConstTensor logits, ConstTensor targets,
                                    TableSlice slice, float gradient_scale) override;
  void argmax(Tensor ids, ConstTensor logits) override;
  void adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step,
             float gradient_scale) override;
  void sums_of_squares(Tensor sums, ConstTensor x) override;

 private:
  const cudaStream_t stream_;
  cuda::Gemm gemm_;
};

}  // namespace shardlora
