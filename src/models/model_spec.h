// What a model is made of, known without a device: its units in order, every parameter's name, shape and format, which
// of them train, and what checkpoints call them. Made from a configuration alone.
#pragma once

#include <array>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lora/lora.h"
#include "lora/lora_modules.h"
#include "models/config.h"
#include "param/spec.h"

namespace shardlora {

// What a matrix of the frozen base rests as, by its name. Vectors (norms, biases) rest in f32.
using FormatOf = std::function<Format(const std::string& parameter)>;
// Whether a matrix is a linear of a layer: not the embedding, nor the head.
bool is_linear(const std::string& parameter);
// One format for the linears, one for the other matrices.
FormatOf rest_as(const Format& linears, const Format& tables);

// Under which name a checkpoint stores one of our parameters, and how.
struct StoredName {
  std::string name;
  std::int64_t permuted_heads = 0;  // > 0: rows are stored in rotary-pair order per head and have to be put back
};
// In a GGUF file of a model of this configuration.
StoredName gguf_name(const ModelConfig& config, const std::string& parameter);

// The linears of a layer, in the order of kLayerLinears, of their parameters and of everything that is kept per linear.
enum Linear : std::size_t { kQ, kK, kV, kO, kGate, kUp, kDown, kLinears };
static_assert(kLinears == kLayerLinears.size());

// What an adapter adds to a linear.
struct LinearAdapter {
  std::size_t first;  // of A, B among the trainable parameters of the unit
  std::int64_t rank;
  float scale;
};
using LayerAdapters = std::array<std::optional<LinearAdapter>, kLinears>;
inline std::int64_t rank_of(const std::optional<LinearAdapter>& adapter) { return adapter ? adapter->rank : 0; }

// What an architecture may add to the decoder of Llama; numbers and further biases are in the ModelConfig.
struct DecoderTraits {
  bool qk_norm = false;            // RMSNorm over each head's values of q and k, before they turn
  bool qkv_bias = false;           // whatever the configuration says
  bool gguf_rotary_pairs = false;  // GGUF stores the rows of q and k in rotary-pair order
};

// The architectures that can be built: a row each.
struct Architecture {
  const char* name;          // ModelConfig::architecture
  const char* hugging_face;  // in `architectures` of config.json
  const char* gguf;          // general.architecture; null: GGUF files call it by another row's name
  DecoderTraits traits;
};
std::span<const Architecture> architectures();

// How embedding and head are cut by rows of the vocabulary, each slice a unit: into the fewest of equal length that
// have no more elements than this, in whole grains of rows. It follows from the model alone, since products of another
// shape have other bits. 256 rows are whole blocks of every format: of 64 values, and of 256 such blocks.
struct TableCut {
  std::int64_t most_elements = std::int64_t{1} << 27, grain = 256;
};
inline constexpr TableCut kUncut{.most_elements = std::numeric_limits<std::int64_t>::max()};

class ModelSpec {
 public:
  // `adapter`: what trains beside the frozen base; null: nothing does. An architecture that is not known is an Error,
  // and so is an adapter that targets what is no linear of this model, or nothing, and a format of a table whose blocks
  // the cut does not keep whole.
  ModelSpec(const ModelConfig& config, const FormatOf& format_of, const LoraConfig* adapter, const TableCut& cut = {});

  const ModelConfig& config() const { return config_; }
  const std::vector<UnitSpec>& units() const { return units_; }
  // Which unit serves what. With tied embeddings the head is the embedding's units, visited twice. Slices of the
  // embedding behind the first come last, so that a layer's place, and all that is drawn by it, is not changed by a
  // cut.
  std::size_t slices() const { return slices_; }  // of the embedding, and of the head
  std::size_t embedding_unit(std::size_t slice = 0) const { return slice == 0 ? 0 : units_.size() - slices_ + slice; }
  static constexpr std::size_t layer_unit(std::int64_t layer) { return 1 + static_cast<std::size_t>(layer); }
  std::size_t head_unit(std::size_t slice = 0) const {
    return config_.tied_embeddings ? embedding_unit(slice) : layer_unit(config_.layers) + slice;
  }
  // Whether the embedding trains; the head does where its unit has something that trains.
  bool embedding_trains() const { return units_[embedding_unit()].params[0].trainable; }
  bool head_trains() const { return units_[head_unit()].params[0].trainable; }

  // Where a layer's parameters stand in its unit. The linears' weights come first, in order.
  static constexpr std::size_t kInputNorm = kLinears, kPostNorm = kLinears + 1, kQNorm = kLinears + 2,
                               kKNorm = kLinears + 3;  // the last two with qk_norm only
  const DecoderTraits& traits() const { return traits_; }
  std::optional<std::size_t> bias(std::size_t linear) const { return bias_[linear]; }
  std::size_t first_adapter() const { return first_adapter_; }
  const std::vector<LayerAdapters>& adapters() const { return adapters_; }  // by layer
  float dropout() const { return dropout_; }                                // of the adapters' inputs, while training

 private:
  void choose_adapted(const LoraConfig& adapter);
  // The units of embedding or head.
  std::vector<UnitSpec> table(const std::string& name, const Format& format, bool trainable, const TableCut& cut) const;
  UnitSpec layer(std::int64_t index, const FormatOf& format_of) const;

  ModelConfig config_;
  DecoderTraits traits_;
  std::array<std::optional<std::size_t>, kLinears> bias_;
  std::vector<LayerAdapters> adapters_;
  std::size_t first_adapter_ = 0;
  float dropout_ = 0;
  std::size_t slices_ = 1;
  std::vector<UnitSpec> units_;
};

}  // namespace shardlora
