// The end of a language model: final norm, projection to the vocabulary, cross-entropy. Only labelled rows are touched,
// in chunks, so that the logits of a micro-batch are never all in memory. A table that is cut by rows of the vocabulary
// comes slice by slice: forth for the sums over the vocabulary, back for the gradients.
#pragma once

#include "backend/ops.h"
#include "nn/workspace.h"
#include "tensor/micro_batch.h"

namespace shardlora {

struct HeadWeights {
  ConstTensor norm;   // (d) f32; of slices only the first one has it
  ConstTensor table;  // (V, d) in the compute dtype
  float norm_eps;
  Tensor dtable = {};     // (V, d) f32: its gradient; empty where it does not train
  TableSlice slice = {};  // where V is not the whole vocabulary

  bool last() const { return slice.first + table.dim(0) == slice.vocab; }
};

// Losses (K) f32 of the batch's labelled rows of x (N, d). If dx is there it becomes gradient_scale times the gradient
// of their sum, zero in the other rows; head.dtable, if it is there too, that of the table.
void head_loss(Ops& ops, Tensor losses, Tensor dx, ConstTensor x, const MicroBatch& batch, const HeadWeights& head,
               float gradient_scale, Workspace scratch);
// One visit of a slice. With losses it goes forth, first slice first: the last one gives the losses. With dx back, last
// slice first: the first one gives dx, sums over slices being f32. `kept` is what slices leave each other of a
// micro-batch; it must not change in between. The last slice may do both in one visit.
void head_slice(Ops& ops, Tensor losses, Tensor dx, ConstTensor x, const MicroBatch& batch, const HeadWeights& head,
                float gradient_scale, Workspace kept, Workspace scratch);
// logits (K, V) f32 of the given rows of x. normed (K, d) becomes their final norm; slices but the first one read it.
void head_logits(Ops& ops, Tensor logits, Tensor normed, ConstTensor x, ConstTensor rows, const HeadWeights& head,
                 Workspace scratch);

// Bytes of scratch for `labelled` rows, and of what slices keep of them: for losses, or for gradients too.
std::size_t head_scratch_bytes(std::int64_t labelled, std::int64_t hidden, std::int64_t vocab, DType dtype);
std::size_t head_kept_bytes(std::int64_t labelled, std::int64_t hidden, DType dtype, bool gradients);

}  // namespace shardlora
