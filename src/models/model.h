// A decoder-only language model: the units it is made of and their forward and backward passes. It computes on borrowed
// parameters and never learns where they rest. All calls are submitted to the device's compute stream and return at
// once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/device.h"
#include "lora/lora.h"
#include "models/config.h"
#include "nn/workspace.h"
#include "param/spec.h"
#include "tensor/micro_batch.h"

namespace shardlora {

// Under which name a checkpoint stores one of our parameters, and how.
struct StoredName {
  std::string name;
  std::int64_t permuted_heads = 0;  // > 0: rows are stored in rotary-pair order per head and have to be put back
};

enum class InputGradient : std::uint8_t { kNo, kYes };

class Model {
 public:
  virtual ~Model() = default;

  const ModelConfig& config() const { return config_; }
  // The dtype of layer inputs and activations.
  DType dtype() const { return dtype_; }
  const std::vector<UnitSpec>& units() const { return units_; }
  // Which unit serves what. With tied embeddings the head is the embedding's unit, visited twice.
  std::size_t embedding_unit() const { return 0; }
  std::size_t layer_unit(std::int64_t layer) const { return 1 + static_cast<std::size_t>(layer); }
  std::size_t head_unit() const { return config_.tied_embeddings ? 0 : units_.size() - 1; }
  // Whether the embedding trains; the head does where its unit has something that trains.
  bool embedding_trains() const { return units_[embedding_unit()].params[0].trainable; }
  bool head_trains() const { return units_[head_unit()].params[0].trainable; }
  virtual StoredName gguf_name(const ParamSpec& param) const = 0;

  // Workspaces are passed by value: every call takes what it needs from their beginning.

  // x (N, hidden) = the embeddings of the micro-batch's tokens.
  virtual void embed(const UnitView& unit, const MicroBatch& batch, Tensor x) = 0;
  // unit.grads get the embedding's gradient, of dx (N, hidden).
  virtual void embed_backward(const UnitView& unit, const MicroBatch& batch, ConstTensor dx) = 0;
  // y = one decoder layer of x, both (N, hidden). What backward needs of it is left in `saved`.
  virtual void forward(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor y, Workspace saved,
                       Workspace scratch) = 0;
  // Fills `saved` as forward does, without the work that only the output needs.
  virtual void recompute(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Workspace saved,
                         Workspace scratch) = 0;
  // dy (N, hidden) becomes the gradient of x; unit.grads get the adapters'. Without InputGradient::kYes (nothing
  // trainable below) dy is left undefined.
  virtual void backward(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor dy,
                        InputGradient input_gradient, Workspace saved, Workspace scratch) = 0;
  // Losses (K) f32 of the labelled rows of the last layer's output x; dx (N, hidden) = gradient_scale times the
  // gradient of their sum. dx may be empty: losses only. unit.grads, where there are any, get the head's.
  virtual void loss(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor losses, Tensor dx,
                    float gradient_scale, Workspace scratch) = 0;

  // Generation. logits (K, vocab) f32 of rows `rows` (K) i32 of the last layer's output x.
  virtual void logits(const UnitView& unit, ConstTensor x, ConstTensor rows, Tensor logits, Workspace scratch) = 0;
  // y = the layer of x, keys and values of every sample put at the start of its line of the cache.
  virtual void prefill(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor y, KvCache cache,
                       Workspace saved, Workspace scratch) = 0;
  // One new token a sample: x, y (S, hidden), lengths (S) i32 = tokens already in the cache.
  virtual void decode(const UnitView& unit, ConstTensor lengths, ConstTensor x, Tensor y, KvCache cache,
                      Workspace saved, Workspace scratch) = 0;

  // Bytes of workspace for `rows` tokens: what forward leaves, what any layer pass uses beside it, and what the head
  // uses.
  virtual std::size_t saved_bytes(std::int64_t rows) const = 0;
  virtual std::size_t scratch_bytes(std::int64_t rows) const = 0;
  virtual std::size_t head_bytes(std::int64_t labelled) const = 0;

 protected:
  Model(const ModelConfig& config, DType dtype) : config_(config), dtype_(dtype) {}
  ModelConfig config_;
  DType dtype_;
  std::vector<UnitSpec> units_;
};

// What the linears of the decoder rest as, and the rest (embedding, head).
struct BaseFormats {
  Format linear, other;
};

// A row of models/registry.cpp by the architecture's name; an Error lists the known ones.
std::unique_ptr<Model> make_model(Device& device, const ModelConfig& config, const BaseFormats& base,
                                  const LoraConfig* adapter, DType dtype);

}  // namespace shardlora
