#include "quant/quantize.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "quant/nf4.h"

namespace shardlora {
namespace {

template <typename T>
void convert(std::span<const float> values, T* out) {
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = from_float<T>(values[i]);
}

template <typename T>
void widen(const T* values, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = to_float(values[i]);
}

}  // namespace

std::int64_t encode_grain(const Format& format) { return format.dense() ? 64 : format.block; }

std::int64_t blocks_of(const Format& format, std::int64_t numel) {
  return format.dense() ? 0 : (numel + format.block - 1) / format.block;
}

void encode_values(const Format& format, std::span<const float> values, std::int64_t begin, const Sections& sections,
                   std::span<float> absmax) {
  CHECK(begin % encode_grain(format) == 0, "values from {} on do not start a block", begin);
  switch (format.codec) {
    case Codec::kF32: return convert(values, reinterpret_cast<float*>(sections[0]) + begin);
    case Codec::kBF16: return convert(values, reinterpret_cast<BF16*>(sections[0]) + begin);
    case Codec::kF16: return convert(values, reinterpret_cast<F16*>(sections[0]) + begin);
    case Codec::kNF4:
      return nf4_encode(values, format.block, sections[0] + begin / 2,
                        &absmax[static_cast<std::size_t>(begin / format.block)]);
  }
}

void finish_sections(const Format& format, const Sections& sections, std::span<const float> absmax) {
  if (format.dense()) return;
  if (!format.double_quant) {
    std::memcpy(sections[1], absmax.data(), absmax.size_bytes());
    return;
  }
  compress_absmax(absmax, sections[1], reinterpret_cast<float*>(sections[2]), reinterpret_cast<float*>(sections[3]));
}

void quantize(const Format& format, std::span<const float> values, const Sections& sections) {
  if (values.empty()) return;
  std::vector<float> absmax(static_cast<std::size_t>(blocks_of(format, std::ssize(values))));
  encode_values(format, values, 0, sections, absmax);
  finish_sections(format, sections, absmax);
}

void dequantize(const PackedTensor& tensor, std::int64_t begin, std::span<float> out) {
  const auto end = begin + std::ssize(out);
  CHECK(0 <= begin && end <= tensor.shape.numel(), "values [{}, {}) of {}", begin, end, tensor.shape.text());
  switch (tensor.format.codec) {
    case Codec::kF32: return widen(reinterpret_cast<const float*>(tensor.sections[0]) + begin, out);
    case Codec::kBF16: return widen(reinterpret_cast<const BF16*>(tensor.sections[0]) + begin, out);
    case Codec::kF16: return widen(reinterpret_cast<const F16*>(tensor.sections[0]) + begin, out);
    case Codec::kNF4: break;
  }
  const int block = tensor.format.block;
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t b = i / block;
    const float absmax = nf4_absmax(tensor, b);
    for (const std::int64_t stop = std::min(end, (b + 1) * block); i < stop; ++i)
      out[static_cast<std::size_t>(i - begin)] = nf4_value(nf4_code_at(tensor.sections[0], i)) * absmax;
  }
}

}  // namespace shardlora
