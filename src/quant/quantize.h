// Whole tensors between f32 values and packed sections. One rank quantises a whole tensor: the nested offset is a mean
// over all of it.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "quant/format.h"

namespace shardlora {

using Sections = std::array<std::byte*, kSections>;

// Fills all sections of `format`; sections[s] has section_bytes(format, values.size())[s] bytes, f32 ones aligned to 4.
void quantize(const Format& format, std::span<const float> values, const Sections& sections);

// The same in two steps, so that a caller may spread the first one over threads: `absmax` holds one value a block of
// the tensor. encode_values works on the values from `begin` on, which is a multiple of encode_grain(format) (or, for
// the last piece, up to the tensor's end); finish_sections comes after all of them.
std::int64_t encode_grain(const Format& format);
void encode_values(const Format& format, std::span<const float> values, std::int64_t begin, const Sections& sections,
                   std::span<float> absmax);
void finish_sections(const Format& format, const Sections& sections, std::span<const float> absmax);
// Blocks of a tensor: the size of `absmax`. 0 for a dense format.
std::int64_t blocks_of(const Format& format, std::int64_t numel);

// out = the values [begin, begin + out.size()) of a packed tensor.
void dequantize(const PackedTensor& tensor, std::int64_t begin, std::span<float> out);

}  // namespace shardlora
