// A decoder-only language model: the units it is made of and their forward and backward passes. It computes on borrowed
// parameters and never learns where they rest. All calls are submitted to the device's compute stream and return at once.
#pragma once

#include <functional>
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

// How a checkpoint in GGUF stores one of our parameters.
struct GgufName {
  std::string name;
  std::int64_t permuted_heads = 0;  // > 0: rows are stored in rotary-pair order per head and have to be put back
};

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
  virtual GgufName gguf_name(const ParamSpec& param) const = 0;

  // x (N, hidden) = the embeddings of the micro-batch's tokens.
  virtual void embed(const UnitView& unit, const MicroBatch& batch, Tensor x) = 0;
  // y = one decoder layer of x (N, hidden). What backward needs is put into `saved`, taken from its free space.
  virtual void forward(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor y, Workspace& saved) = 0;
  // dy (N, hidden) becomes the gradient of x; unit.grads get the adapters'. `saved` as forward on the same x left it; its
  // free space is used as scratch. With `input_gradient` false (nothing trainable below) dy is left undefined.
  virtual void backward(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Workspace& saved, Tensor dy, bool input_gradient) = 0;
  // Losses (K) f32 of the labelled rows of the last layer's output x; dx (N, hidden) = gradient_scale times the gradient
  // of their sum. dx may be empty: losses only. Works through the rows in chunks: the logits are never all there at once.
  virtual void loss(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor losses, Tensor dx, float gradient_scale,
                    Workspace& scratch) = 0;
  // logits (K, vocab) f32 of rows `rows` (K) i32 of x.
  virtual void logits(const UnitView& unit, ConstTensor x, ConstTensor rows, Tensor logits, Workspace& scratch) = 0;
  // One new token a sample: x, y (S, hidden), lengths (S) i32 = tokens already in the cache.
  virtual void decode(const UnitView& unit, ConstTensor lengths, ConstTensor x, Tensor y, KvCache cache, Workspace& scratch) = 0;
  // forward without keeping anything but keys and values, which go to the cache.
  virtual void prefill(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor y, KvCache cache, Workspace& scratch) = 0;

  // Bytes of workspace that a call with `rows` tokens takes: what forward keeps, and the most that any pass uses beside it.
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

// A row of the registry by the architecture's name; an Error lists the known ones.
std::unique_ptr<Model> make_model(Device& device, const ModelConfig& config, const BaseFormats& base, const LoraConfig* adapter, DType dtype);
std::vector<std::string> known_architectures();

}  // namespace shardlora
