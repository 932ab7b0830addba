// What bitsandbytes saves of a weight, packed by our encoder: a tensor each for the codes and for what decodes them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/safetensors.h"
#include "quant/nf4.h"
#include "quant/packed.h"

namespace shardlora {

struct HeldTensor {
  DType dtype = DType::kU8;
  Shape shape;
  std::vector<std::byte> bytes;

  ConstTensor view() const { return {bytes.data(), dtype, shape}; }
};

template <typename Values>
HeldTensor held(DType dtype, const Values& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {dtype, {std::ssize(values)}, {bytes.begin(), bytes.end()}};
}

inline HeldTensor held_text(const nlohmann::json& state) { return held(DType::kU8, state.dump()); }

// By what is added to the weight's name. Values are rounded to the format's dtype before they are packed.
inline std::map<std::string, HeldTensor> packed_weight(const Format& format, const Shape& shape,
                                                       std::vector<float> values) {
  const char* dtype = "float32";
  for (float& x : values) {
    if (format.rounded_to == DType::kBF16) x = to_float(to_bf16(x));
    if (format.rounded_to == DType::kF16) x = to_float(to_f16(x));
  }
  if (format.rounded_to == DType::kBF16) dtype = "bfloat16";
  if (format.rounded_to == DType::kF16) dtype = "float16";
  const Packed packed(format, values);
  nlohmann::json state = {
      {"quant_type", "nf4"}, {"blocksize", format.block}, {"dtype", dtype}, {"shape", {shape[0], shape[1]}}};
  std::map<std::string, HeldTensor> parts{{"", held(DType::kU8, packed.bytes[0])},
                                          {".quant_map", held(DType::kF32, kNf4Values)}};
  parts[""].shape = {std::ssize(packed.bytes[0]), 1};
  parts[".absmax"] = held(DType::kU8, packed.bytes[1]);
  if (format.double_quant) {
    const auto* nested = reinterpret_cast<const Nf4Nested*>(packed.bytes[3].data());
    state.update({{"nested_blocksize", kNestedBlock}, {"nested_dtype", "float32"}, {"nested_offset", nested->offset}});
    parts[".nested_absmax"] = {DType::kF32, {std::ssize(packed.bytes[2]) / 4}, packed.bytes[2]};
    parts[".nested_quant_map"] = held(DType::kF32, nested->map);
  } else {
    parts[".absmax"] = {DType::kF32, {std::ssize(packed.bytes[1]) / 4}, packed.bytes[1]};
  }
  parts[".quant_state.bitsandbytes__nf4"] = held_text(state);
  return parts;
}

}  // namespace shardlora
