// How a weight is stored, and a weight as it travels: packed bytes in up to four sections that are cut, sent and
// gathered without being decoded. What a codec is stands in codec.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "tensor/tensor.h"

namespace shardlora {

enum class Codec : std::uint8_t {
  kF32,
  kBF16,
  kF16,
  kNF4,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K
};

struct Format {
  Codec codec = Codec::kBF16;
  int block = 64;             // of nf4: values that share an absmax
  bool double_quant = false;  // of nf4: absmax itself quantised to 8 bit, in groups of kNestedBlock
  // Of nf4: what every value is rounded to before anything is made of it. In bitsandbytes' checkpoints it is the dtype
  // that the weights were quantised from.
  DType rounded_to = DType::kF32;

  bool dense() const;  // the values lie as they are, as a tensor of dtype_of(codec)
  bool operator==(const Format&) const = default;
};

Format dense_format(DType dtype);
// The dtype of a dense format's values.
DType dtype_of(Codec codec);
std::string name_of(const Format& format);  // "nf4 (block 64, double quantisation)"

inline constexpr int kSections = 4;
using SectionBytes = std::array<std::size_t, kSections>;

// Bytes of every section of a tensor; which section holds what, its codec says. 0: the format has no such section.
SectionBytes section_bytes(const Format& format, const Shape& shape);

struct PackedTensor {
  Format format;
  Shape shape;
  std::array<const std::byte*, kSections> sections{};

  // The values of a dense format as a tensor.
  ConstTensor dense() const {
    CHECK(format.dense(), "packed weights have no dense view");
    return {sections[0], dtype_of(format.codec), shape};
  }
};

}  // namespace shardlora
