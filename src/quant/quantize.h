// Whole tensors between f32 values and packed sections. One rank quantises a whole tensor: the nested offset of nf4 is
// a mean over all of it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>

#include "quant/format.h"

namespace shardlora {

using Sections = std::array<std::byte*, kSections>;

// Fills all sections of `format`; sections[s] has section_bytes(format, shape)[s] bytes, f32 ones aligned to 4. Formats
// that can be encoded only.
void quantize(const Format& format, std::span<const float> values, const Sections& sections);

// The same in two steps, so that a caller may spread the first one over threads: `scales` holds as many values as
// scales_of says. encode_values works on the values from `begin` on, which is a multiple of grain_of(format) (or, for
// the last piece, up to the tensor's end); finish_sections comes after all of them.
std::int64_t grain_of(const Format& format);
// The sections of the values from a multiple of this on are runs of the whole's sections, from section_starts on, or
// one that all values share, which starts at 0.
std::int64_t run_of(const Format& format);
SectionBytes section_starts(const Format& format, std::int64_t begin);
void encode_values(const Format& format, std::span<const float> values, std::int64_t begin, const Sections& sections,
                   std::span<float> scales);
void finish_sections(const Format& format, const Sections& sections, std::span<const float> scales);
std::int64_t scales_of(const Format& format, std::int64_t numel);

// out = the values [begin, begin + out.size()) of a packed tensor, in f32; begin is a multiple of grain_of its format,
// and so is the end, or it is the tensor's.
void dequantize(const PackedTensor& tensor, std::int64_t begin, std::span<float> out);

// The same of a tensor that lies elsewhere: `read` gives bytes of a section, from byte `first` of it on, and is asked
// for those alone that the values need.
using ReadSection = std::function<void(int section, std::span<std::byte> out, std::size_t first)>;
void dequantize(const Format& format, const Shape& shape, const ReadSection& read, std::int64_t begin,
                std::span<float> out);

}  // namespace shardlora
