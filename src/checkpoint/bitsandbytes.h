// Weights that bitsandbytes packed into NF4, in the safetensors of a folder. Under the weight's own name P lie the
// codes, as bytes or viewed as another dtype; beside them P.absmax, P.quant_map, P.quant_state.bitsandbytes__nf4 (a
// JSON text) and, with double quantisation, P.nested_absmax and P.nested_quant_map. Sections of the format are these
// bytes as they are.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>

#include "io/safetensors_folder.h"
#include "quant/nf4.h"

namespace shardlora {

class BitsandbytesWeight {
 public:
  // What lies beside `name` is read and checked. Another codec, or parts that do not fit together, are an Error.
  // `files` must outlive it.
  BitsandbytesWeight(const SafetensorsFolder& files, const std::string& name);

  const Format& format() const { return format_; }
  const Shape& shape() const { return shape_; }
  // As TensorSource has them.
  void read_f32(std::span<float> out, std::int64_t first) const;
  void read_section(int section, std::span<std::byte> out, std::size_t first) const;

 private:
  std::array<const SafetensorsFolder::Place*, 3> stored_{};  // of the sections that are tensors of the file
  Nf4Nested nested_{};
  Format format_;
  Shape shape_;
};

// The weight that a tensor of this name belongs to; nothing: it stands for itself.
std::optional<std::string> packed_weight_of(const std::string& name);

// All of a folder, by name.
std::map<std::string, BitsandbytesWeight> bitsandbytes_weights(const SafetensorsFolder& files);

}  // namespace shardlora
