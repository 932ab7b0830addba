// A decoder-only language model: the forward and backward passes of its units. It computes on borrowed parameters and
// never learns where they rest. All calls are submitted to the device's compute stream and return at once.
#pragma once

#include <memory>
#include <utility>

#include "backend/device.h"
#include "models/model_spec.h"
#include "nn/workspace.h"
#include "tensor/micro_batch.h"

namespace shardlora {

enum class InputGradient : std::uint8_t { kNo, kYes };

// What backward computes again of a layer's activations instead of finding it kept (gradient checkpointing): nothing;
// what takes no matrix product, a third of the memory; or everything, from the layer's input.
enum class Recompute : std::uint8_t { kNo, kCheap, kYes };

// What backward needs of a layer's forward pass.
struct Saved {
  Workspace costly, cheap;  // what Recompute::kCheap keeps, and what it does not
};
struct SavedBytes {
  std::size_t costly = 0, cheap = 0;
  std::size_t all() const { return costly + cheap; }
};
inline Saved saved_at(std::byte* data, SavedBytes bytes) {
  return {{data, bytes.costly}, {data + bytes.costly, bytes.cheap}};
}

class Model {
 public:
  virtual ~Model() = default;

  const ModelSpec& spec() const { return spec_; }
  const ModelConfig& config() const { return spec_.config(); }
  // The dtype of layer inputs and activations.
  DType dtype() const { return dtype_; }

  // Workspaces are passed by value: every call takes what it needs from their beginning.

  // x (N, hidden) = the embeddings of the micro-batch's tokens; of a slice of the embedding those that it has.
  virtual void embed(const UnitView& unit, const MicroBatch& batch, Tensor x) = 0;
  // unit.grads get the embedding's gradient, of dx (N, hidden).
  virtual void embed_backward(const UnitView& unit, const MicroBatch& batch, ConstTensor dx) = 0;
  // y = one decoder layer of x, both (N, hidden). What backward needs of it is left in `saved`.
  virtual void forward(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor y, Saved saved,
                       Workspace scratch) = 0;
  // Fills `saved` as forward does, without the work that only the output needs; or its cheap part from the costly one.
  virtual void recompute(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Recompute what, Saved saved,
                         Workspace scratch) = 0;
  // dy (N, hidden) becomes the gradient of x; unit.grads get the adapters'. Without InputGradient::kYes (nothing
  // trainable below) dy is left undefined.
  virtual void backward(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor dy,
                        InputGradient input_gradient, Saved saved, Workspace scratch) = 0;
  // Losses (K) f32 of the labelled rows of the last layer's output x; dx (N, hidden) = gradient_scale times the
  // gradient of their sum. dx may be empty: losses only. unit.grads, where there are any, get the head's.
  // A head that is cut is visited slice by slice, forth with losses and without dx, back without losses, its last slice
  // with both, and leaves in `kept` what it knows of the micro-batch (nn/head.h).
  virtual void loss(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor losses, Tensor dx,
                    float gradient_scale, Workspace kept, Workspace scratch) = 0;

  // Generation. logits (K, V) f32 of rows `rows` (K) i32 of the last layer's output x, V being the rows of the unit's
  // table. normed (K, hidden): filled by the first slice of a head, read by the others.
  virtual void logits(const UnitView& unit, ConstTensor x, ConstTensor rows, Tensor normed, Tensor logits,
                      Workspace scratch) = 0;
  // y = the layer of x, keys and values of every sample put at the start of its line of the cache.
  virtual void prefill(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor y, KvCache cache,
                       Saved saved, Workspace scratch) = 0;
  // One new token a sample: x, y (S, hidden), lengths (S) i32 = tokens already in the cache.
  virtual void decode(const UnitView& unit, ConstTensor lengths, ConstTensor x, Tensor y, KvCache cache, Saved saved,
                      Workspace scratch) = 0;

  // Bytes of workspace for `rows` tokens: what forward leaves, what any layer pass uses beside it, what the head uses,
  // and what it keeps for losses, or for gradients too (0 where it is not cut).
  virtual SavedBytes saved_bytes(std::int64_t rows) const = 0;
  virtual std::size_t scratch_bytes(std::int64_t rows) const = 0;
  virtual std::size_t head_bytes(std::int64_t labelled) const = 0;
  virtual std::size_t head_kept_bytes(std::int64_t labelled, InputGradient gradient) const = 0;

 protected:
  Model(ModelSpec spec, DType dtype) : spec_(std::move(spec)), dtype_(dtype) {}
  const ModelSpec spec_;
  const DType dtype_;
};

std::unique_ptr<Model> make_model(Device& device, const ModelSpec& spec, DType dtype);

}  // namespace shardlora
