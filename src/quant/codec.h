// A codec turns the values of a tensor into packed bytes and back. Each is one row, in the file that is named after it;
// codec.cpp lists them, and quantize.h is how the rows are used. Adding one is its file, its row, and a decode in every
// backend (backend/*/dequantize*).
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "quant/quantize.h"

namespace shardlora {

struct CodecRow {
  Codec codec;
  const char* name;            // "nf4", "Q4_1"
  std::optional<DType> dtype;  // of a dense codec: section 0 holds the values as a tensor of this type

  SectionBytes (*section_bytes)(const Format& format, const Shape& shape);
  // Values that are coded together: encode and decode begin at multiples of it.
  std::int64_t (*grain)(const Format& format);
  // The sections of the values from a multiple of this on are runs of the whole's sections, or one that all values
  // share. Null: the grain.
  std::int64_t (*run)(const Format& format);
  // out = the values [begin, begin + out.size()), in f32. Backends give these values, rounded once to what they are
  // asked for.
  void (*decode)(const PackedTensor& tensor, std::int64_t begin, std::span<float> out);

  // Null where weights of this codec are only taken from files that hold it.
  void (*encode)(const Format& format, std::span<const float> values, std::int64_t begin, const Sections& sections,
                 std::span<float> scales);
  // What encode leaves to do for a whole tensor, out of one f32 scale per grain. Null: nothing, and there are no
  // scales.
  void (*finish)(const Format& format, const Sections& sections, std::span<const float> scales);

  std::string (*text)(const Format& format);  // the name with what distinguishes formats of this codec; null: the name
};

std::span<const CodecRow* const> codecs();
const CodecRow& row_of(Codec codec);
const CodecRow* find_codec(std::string_view name);  // null: none is called so

}  // namespace shardlora
