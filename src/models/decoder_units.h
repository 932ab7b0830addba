// The units of a decoder: embedding, layers, head. Which parameters each is made of, where they stand in it, and what
// GGUF calls them.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "models/model.h"

namespace shardlora {

// The linears of a layer, in the order of their parameters and of everything that is kept per linear.
enum Linear : std::size_t { kQ, kK, kV, kO, kGate, kUp, kDown, kLinears };

// What an adapter adds to a linear.
struct LinearAdapter {
  std::size_t first;  // of A, B among the trainable parameters of the unit
  std::int64_t rank;
  float scale;
};
using LayerAdapters = std::array<std::optional<LinearAdapter>, kLinears>;
inline std::int64_t rank_of(const std::optional<LinearAdapter>& adapter) { return adapter ? adapter->rank : 0; }

// What an architecture may add to the decoder of Llama; numbers and biases are in the ModelConfig.
struct DecoderTraits {
  bool qk_norm = false;            // RMSNorm over each head's values of q and k, before they turn
  bool gguf_rotary_pairs = false;  // GGUF stores the rows of q and k in rotary-pair order
};

class DecoderUnits {
 public:
  // An adapter that targets what is no linear of this model, or nothing, is an Error.
  DecoderUnits(const ModelConfig& config, const DecoderTraits& traits, const BaseFormats& base,
               const LoraConfig* adapter);

  const std::vector<UnitSpec>& units() const { return units_; }
  StoredName gguf_name(const ParamSpec& param) const;

  // Where a layer's parameters stand in its unit. The linears' weights come first, in order.
  static constexpr std::size_t kInputNorm = kLinears, kPostNorm = kLinears + 1, kQNorm = kLinears + 2,
                               kKNorm = kLinears + 3;  // the last two with qk_norm only
  std::optional<std::size_t> bias(std::size_t linear) const { return bias_[linear]; }
  std::size_t first_adapter() const { return first_adapter_; }
  const std::vector<LayerAdapters>& adapters() const { return adapters_; }  // by layer

 private:
  void choose_adapted(const LoraConfig& adapter);
  UnitSpec layer(std::int64_t index, const BaseFormats& base) const;

  ModelConfig config_;
  DecoderTraits traits_;
  std::array<std::optional<std::size_t>, kLinears> bias_;
  std::vector<LayerAdapters> adapters_;
  std::size_t first_adapter_ = 0;
  std::vector<UnitSpec> units_;
};

}  // namespace shardlora
