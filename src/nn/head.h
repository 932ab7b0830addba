// The end of a language model: final norm, projection to the vocabulary, cross-entropy. Only labelled rows are touched,
// in chunks, so that the logits of a micro-batch are never all in memory.
#pragma once

#include "backend/ops.h"
#include "nn/workspace.h"
#include "tensor/micro_batch.h"

namespace shardlora {

struct HeadWeights {
  ConstTensor norm;   // (d) f32
  ConstTensor table;  // (V, d) in the compute dtype
  float norm_eps;
  Tensor dtable = {};  // (V, d) f32: its gradient; empty where it does not train
};

// Losses (K) f32 of the batch's labelled rows of x (N, d). If dx is there it becomes gradient_scale times the gradient
// of their sum, zero in the other rows; head.dtable, if it is there too, that of the table.
void head_loss(Ops& ops, Tensor losses, Tensor dx, ConstTensor x, const MicroBatch& batch, const HeadWeights& head,
               float gradient_scale, Workspace scratch);
// logits (K, V) f32 of the given rows of x.
void head_logits(Ops& ops, Tensor logits, ConstTensor x, ConstTensor rows, const HeadWeights& head, Workspace scratch);

// Bytes of scratch for `labelled` rows.
std::size_t head_scratch_bytes(std::int64_t labelled, std::int64_t hidden, std::int64_t vocab, DType dtype);

}  // namespace shardlora
