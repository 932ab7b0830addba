// The words that storage and model share. A unit is what travels together: an embedding, a decoder layer, a head.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "quant/format.h"
#include "tensor/buffer.h"

namespace shardlora {

struct ParamSpec {
  std::string name;  // Hugging Face's, e.g. "model.layers.0.self_attn.q_proj.weight"
  Shape shape;
  Format format;  // of a frozen parameter at rest; trainable ones rest as f32 masters and travel in the compute dtype
  bool trainable = false;
  // Of a slice of a table: the row of the stored tensor that it begins with, and how many rows that has; 0: all is
  // here.
  std::int64_t first_row = 0, stored_rows = 0;

  bool sliced() const { return stored_rows != 0; }
  Shape stored_shape() const { return sliced() ? Shape{stored_rows, shape[1]} : shape; }
  std::int64_t first_value() const { return sliced() ? first_row * shape[1] : 0; }  // in the stored tensor
};

// A parameter of the base that trains, not one that an adapter adds: it starts as the base has it.
inline bool trains_as_a_whole(const ParamSpec& param) {
  return param.trainable && param.name.find(".lora_") == std::string::npos;
}

struct UnitSpec {
  std::string name;  // "model.layers.0"
  std::vector<ParamSpec> params;
};

// Makes packed weights of a borrowed unit ready to compute with.
class WeightDecoder {
 public:
  virtual ~WeightDecoder() = default;
  // Parameter `param` of the unit as dense values. They hold until the next call.
  virtual ConstTensor dense(std::size_t param) = 0;
};

// A borrowed unit as the model sees it.
struct UnitView {
  std::size_t index;                     // its place among the model's units
  std::span<const PackedTensor> params;  // in the order of UnitSpec::params
  std::span<const Tensor> grads;     // f32, one per trainable parameter, overwritten by backward; empty unless training
  WeightDecoder* decoder = nullptr;  // of what is packed still; without one all parameters are dense

  // A matrix of the base. Use it before the next one is asked for: where there is no room for all of a unit's weights,
  // each is decoded when it is needed, in the place of the last one.
  ConstTensor matrix(std::size_t param) const {
    return decoder != nullptr ? decoder->dense(param) : params[param].dense();
  }
};

enum class Sharding : std::uint8_t { kReplicated, kSharded };

// Where a unit's frozen bytes rest between visits.
struct Residence {
  Tier tier = Tier::kDevice;
  Sharding sharding = Sharding::kSharded;
};

// Where each segment of a unit rests. What trains is cut over the ranks wherever it rests.
struct UnitResidence {
  Residence frozen;
  Tier masters = Tier::kDevice, gradients = Tier::kDevice, state = Tier::kDevice;
};

}  // namespace shardlora
