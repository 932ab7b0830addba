// How a weight is stored, and a weight as it travels: packed bytes in up to four sections that are cut, sent and
// gathered without being decoded. A format is one codec file in this folder plus its row here.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace shardlora {

enum class Codec : std::uint8_t { kF32, kBF16, kF16, kNF4 };

struct Format {
  Codec codec = Codec::kBF16;
  int block = 64;             // values per absmax; quantised codecs only
  bool double_quant = false;  // absmax itself quantised to 8 bit, in groups of kNestedBlock

  bool dense() const { return codec != Codec::kNF4; }
  bool operator==(const Format&) const = default;
};

inline constexpr int kNestedBlock = 256;
inline constexpr int kSections = 4;

// Sections of NF4: 0 codes (two a byte, the first value in the high nibble), 1 absmax (f32 a block; u8 with double
// quantisation), 2 nested absmax (f32 per kNestedBlock blocks), 3 nested offset (one f32). Sections of a dense codec: 0
// values.
using SectionBytes = std::array<std::size_t, kSections>;

// Bytes of every section of a tensor of `numel` values. 0: the format has no such section.
SectionBytes section_bytes(const Format& format, std::int64_t numel);

Format dense_format(DType dtype);
// The dtype of a dense format's values.
DType dtype_of(Codec codec);
std::string name_of(const Format& format);  // "nf4 (block 64, double quantisation)"

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
