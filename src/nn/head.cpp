#include "nn/head.h"

#include <algorithm>

namespace shardlora {
namespace {

// Rows of logits at a time: about 50 MB of f32, but at least 256 rows. Every chunk reads the whole table twice, and
// with fewer rows that takes longer than the products: at 64 rows 5 % of a step of an 8B model on a 4090 (modelled).
std::int64_t chunk_rows(std::int64_t vocab) {
  constexpr std::int64_t kLogits = 12 << 20, kGrain = 64, kFewest = 256, kMost = 1024;
  return std::clamp(kLogits / vocab / kGrain * kGrain, kFewest, kMost);
}

// What the labelled rows need throughout, and one chunk's logits.
struct HeadBuffers {
  HeadBuffers(Workspace& space, std::int64_t labelled, std::int64_t hidden, std::int64_t vocab, DType dtype)
      : rows(std::min(labelled, chunk_rows(vocab))),
        x(space.take(dtype, {labelled, hidden})),
        normed(space.take(dtype, {labelled, hidden})),
        dnormed(space.take(dtype, {labelled, hidden})),
        inv_rms(space.take(DType::kF32, {labelled})),
        logits(space.take(DType::kF32, {rows, vocab})),
        dlogits(space.take(dtype, {rows, vocab})) {}
  std::int64_t rows;
  Tensor x, normed, dnormed, inv_rms, logits, dlogits;
};

struct HeadKept {
  HeadKept(Workspace& space, std::int64_t labelled, std::int64_t hidden, DType dtype, bool gradients)
      : normed(space.take(dtype, {labelled, hidden})),
        inv_rms(space.take(DType::kF32, {labelled})),
        state(space.take(DType::kF32, {labelled, 3})) {
    if (gradients) dnormed = space.take(DType::kF32, {labelled, hidden});
  }
  Tensor normed, inv_rms, state;
  Tensor dnormed;  // last: only the way back has it
};

}  // namespace

void head_loss(Ops& ops, Tensor losses, Tensor dx, ConstTensor x, const MicroBatch& batch, const HeadWeights& head,
               float gradient_scale, Workspace scratch) {
  const std::int64_t labelled = batch.labelled.dim(0);
  if (labelled == 0) {
    if (dx) ops.zero(dx);
    if (dx && head.dtable) ops.zero(head.dtable);
    return;
  }
  const HeadBuffers b(scratch, labelled, x.dim(1), head.table.dim(0), x.dtype);
  ops.gather_rows(b.x, x, batch.labelled);
  ops.rms_norm(b.normed, b.inv_rms, b.x, head.norm, head.norm_eps);
  for (std::int64_t begin = 0; begin < labelled; begin += b.rows) {
    const std::int64_t end = std::min(begin + b.rows, labelled);
    const Tensor logits = b.logits.rows(0, end - begin);
    const Tensor dlogits = dx ? b.dlogits.rows(0, end - begin) : Tensor{};
    ops.matmul(logits, b.normed.rows(begin, end), Op::kNone, head.table, Op::kTranspose, Accumulate::kNo);
    ops.cross_entropy(losses.rows(begin, end), dlogits, logits, batch.targets.rows(begin, end), gradient_scale);
    if (dx && head.dtable)
      ops.matmul(head.dtable, dlogits, Op::kTranspose, b.normed.rows(begin, end), Op::kNone,
                 begin == 0 ? Accumulate::kNo : Accumulate::kYes);
    if (dx) ops.matmul(b.dnormed.rows(begin, end), dlogits, Op::kNone, head.table, Op::kNone, Accumulate::kNo);
  }
  if (!dx) return;
  ops.rms_norm_backward(b.normed, b.dnormed, b.x, b.inv_rms, head.norm, Accumulate::kNo);
  ops.scatter_rows(dx, b.normed, batch.labelled);
}

void head_slice(Ops& ops, Tensor losses, Tensor dx, ConstTensor x, const MicroBatch& batch, const HeadWeights& head,
                float gradient_scale, Workspace kept, Workspace scratch) {
  const std::int64_t labelled = batch.labelled.dim(0);
  const bool first = head.slice.first == 0;
  if (labelled == 0) {
    if (dx && first) ops.zero(dx);
    if (dx && head.dtable) ops.zero(head.dtable);
    return;
  }
  const HeadBuffers b(scratch, labelled, x.dim(1), head.table.dim(0), x.dtype);
  const HeadKept k(kept, labelled, x.dim(1), x.dtype, static_cast<bool>(dx));
  if (first) ops.gather_rows(b.x, x, batch.labelled);
  if (first && losses) ops.rms_norm(k.normed, k.inv_rms, b.x, head.norm, head.norm_eps);
  for (std::int64_t begin = 0; begin < labelled; begin += b.rows) {
    const std::int64_t end = std::min(begin + b.rows, labelled);
    const Tensor logits = b.logits.rows(0, end - begin), dlogits = b.dlogits.rows(0, end - begin),
                 normed = k.normed.rows(begin, end), state = k.state.rows(begin, end);
    const ConstTensor targets = batch.targets.rows(begin, end);
    ops.matmul(logits, normed, Op::kNone, head.table, Op::kTranspose, Accumulate::kNo);
    if (losses) ops.cross_entropy_slice(losses.rows(begin, end), state, logits, targets, head.slice);
    if (!dx) continue;
    ops.cross_entropy_slice_backward(dlogits, state, logits, targets, head.slice, gradient_scale);
    if (head.dtable)
      ops.matmul(head.dtable, dlogits, Op::kTranspose, normed, Op::kNone,
                 begin == 0 ? Accumulate::kNo : Accumulate::kYes);
    ops.matmul(k.dnormed.rows(begin, end), dlogits, Op::kNone, head.table, Op::kNone,
               head.last() ? Accumulate::kNo : Accumulate::kYes);
  }
  if (!dx || !first) return;
  ops.cast(b.dnormed, k.dnormed);
  ops.rms_norm_backward(b.normed, b.dnormed, b.x, k.inv_rms, head.norm, Accumulate::kNo);
  ops.scatter_rows(dx, b.normed, batch.labelled);
}

void head_logits(Ops& ops, Tensor logits, Tensor normed, ConstTensor x, ConstTensor rows, const HeadWeights& head,
                 Workspace scratch) {
  const std::int64_t count = rows.dim(0);
  if (head.slice.first == 0) {
    const Tensor picked = scratch.take(x.dtype, {count, x.dim(1)});
    const Tensor inv_rms = scratch.take(DType::kF32, {count});
    ops.gather_rows(picked, x, rows);
    ops.rms_norm(normed, inv_rms, picked, head.norm, head.norm_eps);
  }
  ops.matmul(logits, normed, Op::kNone, head.table, Op::kTranspose, Accumulate::kNo);
}

std::size_t head_scratch_bytes(std::int64_t labelled, std::int64_t hidden, std::int64_t vocab, DType dtype) {
  Workspace measured;
  HeadBuffers(measured, labelled, hidden, vocab, dtype);
  return measured.used();
}

std::size_t head_kept_bytes(std::int64_t labelled, std::int64_t hidden, DType dtype, bool gradients) {
  Workspace measured;
  HeadKept(measured, labelled, hidden, dtype, gradients);
  return measured.used();
}

}  // namespace shardlora
