#include "quant/nf4.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace shardlora {
namespace {

constexpr std::array<float, kNf4Levels - 1> kThresholds = [] {
  std::array<float, kNf4Levels - 1> midpoints{};
  for (std::size_t k = 0; k < midpoints.size(); ++k) midpoints[k] = (kNf4Values[k] + kNf4Values[k + 1]) / 2.0F;
  return midpoints;
}();

constexpr int kChunk = 64;  // values coded at a time: enough for the compiler to keep whole vectors busy

// The bits of non-negative floats are ordered as their values: an integer maximum, which compilers vectorise; NaN wins.
float magnitude(std::span<const float> values) {
  std::uint32_t largest = 0;
  for (const float x : values) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x) & 0x7FFFFFFFU;
    largest = largest > bits ? largest : bits;
  }
  return std::bit_cast<float>(largest);
}

// Codes of `scaled`, the same as nf4_code of each, two a byte.
void pack(const std::array<float, kChunk>& scaled, std::byte* codes, int bytes) {
  std::array<std::uint32_t, kChunk> code{};
  for (std::size_t i = 0; i < kChunk; ++i) {
    for (const float t : kThresholds) code[i] += scaled[i] > t ? 1U : 0U;
  }
  for (int j = 0; j < bytes; ++j) {
    const auto k = static_cast<std::size_t>(2 * j);
    codes[j] = static_cast<std::byte>((code[k] << 4U) | code[k + 1]);
  }
}

void encode_whole_block(const float* values, int block, std::byte* codes, float* absmax) {
  *absmax = magnitude({values, static_cast<std::size_t>(block)});
  const float inverse = 1.0F / std::fmax(*absmax, kNf4SmallestAbsmax);
  for (int begin = 0; begin < block; begin += kChunk) {
    std::array<float, kChunk> scaled{};
    const int count = std::min(kChunk, block - begin);
    for (int i = 0; i < count; ++i) scaled[static_cast<std::size_t>(i)] = values[begin + i] * inverse;
    pack(scaled, codes + begin / 2, count / 2);
  }
}

void encode_short_block(std::span<const float> values, std::byte* codes, float* absmax) {
  *absmax = std::fmax(magnitude(values), kNf4SmallestAbsmax);
  for (std::size_t i = 0; i < values.size(); i += 2) {
    const float second = i + 1 < values.size() ? values[i + 1] / *absmax : 0.0F;
    codes[i / 2] = static_cast<std::byte>((nf4_code(values[i] / *absmax) << 4) | nf4_code(second));
  }
}

SectionBytes nf4_bytes(const Format& format, const Shape& shape) {
  CHECK(format.block > 0 && format.block % 2 == 0, "a block of {} values does not fill whole bytes", format.block);
  const auto n = static_cast<std::size_t>(shape.numel()), block = static_cast<std::size_t>(format.block);
  const std::size_t blocks = (n + block - 1) / block, codes = (n + 1) / 2;
  if (!format.double_quant) return {codes, blocks * sizeof(float), 0, 0};
  return {codes, blocks, (blocks + kNestedBlock - 1) / kNestedBlock * sizeof(float), sizeof(Nf4Nested)};
}

std::int64_t nf4_grain(const Format& format) { return format.block; }

std::int64_t nf4_run(const Format& format) {
  return std::int64_t{format.block} * (format.double_quant ? kNestedBlock : 1);
}

void decode_nf4(const PackedTensor& tensor, std::int64_t begin, std::span<float> out) {
  const std::int64_t block = tensor.format.block, end = begin + std::ssize(out);
  for (std::int64_t i = begin; i < end;) {
    const float absmax = nf4_absmax(tensor, i / block);
    std::array<float, kNf4Levels> values{};
    for (std::uint8_t c = 0; c < kNf4Levels; ++c) values[c] = nf4_decode(tensor.format, c, absmax);
    for (const std::int64_t stop = std::min(end, (i / block + 1) * block); i < stop; ++i)
      out[static_cast<std::size_t>(i - begin)] = values[nf4_code_at(tensor.sections[0], i)];
  }
}

void encode_nf4(const Format& format, std::span<const float> values, std::int64_t begin, const Sections& sections,
                std::span<float> absmax) {
  nf4_encode(values, format.block, sections[0] + begin / 2, &absmax[static_cast<std::size_t>(begin / format.block)]);
}

void finish_nf4(const Format& format, const Sections& sections, std::span<const float> absmax) {
  if (format.double_quant)
    compress_absmax(absmax, sections[1], reinterpret_cast<float*>(sections[2]),
                    reinterpret_cast<Nf4Nested*>(sections[3]));
  else
    std::memcpy(sections[1], absmax.data(), absmax.size_bytes());
}

std::string nf4_text(const Format& format) {
  return fmt::format(
      "nf4 (block {}{}{})", format.block, format.double_quant ? ", double quantisation" : "",
      format.rounded_to == DType::kF32 ? "" : fmt::format(", rounded to {}", name_of(format.rounded_to)));
}

}  // namespace

constinit const CodecRow kNf4Row = {.codec = Codec::kNF4,
                                    .name = "nf4",
                                    .dtype = std::nullopt,
                                    .section_bytes = nf4_bytes,
                                    .grain = nf4_grain,
                                    .run = nf4_run,
                                    .decode = decode_nf4,
                                    .encode = encode_nf4,
                                    .finish = finish_nf4,
                                    .text = nf4_text};

void nf4_encode(std::span<const float> values, int block, std::byte* codes, float* absmax) {
  CHECK(block > 0 && block % 2 == 0, "a block of {} values does not fill whole bytes", block);
  const auto size = static_cast<std::size_t>(block);
  const std::size_t whole = values.size() / size;
  for (std::size_t b = 0; b < whole; ++b)
    encode_whole_block(values.data() + b * size, block, codes + b * size / 2, absmax + b);
  if (values.size() % size != 0)
    encode_short_block(values.subspan(whole * size), codes + whole * size / 2, absmax + whole);
}

void compress_absmax(std::span<const float> absmax, std::byte* codes, float* group_absmax, Nf4Nested* nested) {
  double sum = 0;
  for (const float a : absmax) sum += a;
  const float offset = absmax.empty() ? 0.0F : static_cast<float>(sum / static_cast<double>(absmax.size()));
  *nested = {offset, kDynamicMap};
  for (std::size_t begin = 0, group = 0; begin < absmax.size(); begin += kNestedBlock, ++group) {
    const std::size_t end = std::min(begin + kNestedBlock, absmax.size());
    float largest = 0;
    for (std::size_t b = begin; b < end; ++b) largest = std::fmax(largest, std::fabs(absmax[b] - offset));
    group_absmax[group] = largest;
    const float inverse =
        1.0F / largest;  // all equal: 0 times infinity, whose code is 0, and 0 is what it is scaled by
    for (std::size_t b = begin; b < end; ++b)
      codes[b] = static_cast<std::byte>(dynamic_code((absmax[b] - offset) * inverse));
  }
}

}  // namespace shardlora
