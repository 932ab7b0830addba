// NF4 (Dettmers et al., "QLoRA: efficient finetuning of quantized LLMs", 2023): 16 levels, the quantiles of a normal
// distribution scaled to [-1, 1]; a block of values shares its largest magnitude. Functions of one value and of one run
// of blocks; codes and absmax are bit for bit those of bitsandbytes' CPU backend.
//
// Sections: 0 codes (two a byte, the first value in the high nibble), 1 absmax (f32 a block; u8 with double
// quantisation), 2 nested absmax (f32 per kNestedBlock blocks), 3 an Nf4Nested.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/host_device.h"
#include "quant/codec.h"
#include "quant/dynamic_map.h"

namespace shardlora {

extern const CodecRow kNf4Row;

inline constexpr int kNf4Levels = 16;
inline constexpr int kNestedBlock = 256;

HOST_DEVICE constexpr float nf4_value(std::uint8_t code) {
  constexpr float kLevels[kNf4Levels] = {
      -1.0F,
      -0.6961928009986877F,
      -0.5250730514526367F,
      -0.39491748809814453F,
      -0.28444138169288635F,
      -0.18477343022823334F,
      -0.09105003625154495F,
      0.0F,
      0.07958029955625534F,
      0.16093020141124725F,
      0.24611230194568634F,
      0.33791524171829224F,
      0.44070982933044434F,
      0.5626170039176941F,
      0.7229568362236023F,
      1.0F,
  };
  return kLevels[code & 15U];
}

// The levels as a table, for kernels that look up.
inline constexpr std::array<float, kNf4Levels> kNf4Values = [] {
  std::array<float, kNf4Levels> values{};
  for (std::uint8_t c = 0; c < kNf4Levels; ++c) values[c] = nf4_value(c);
  return values;
}();

// Code of x in [-1, 1]: how many midpoints between neighbouring levels are below x (strictly). NaN gives 0.
HOST_DEVICE constexpr std::uint8_t nf4_code(float x) {
  int code = 0;
  for (std::uint8_t k = 0; k + 1 < kNf4Levels; ++k) code += x > (nf4_value(k) + nf4_value(k + 1)) / 2.0F ? 1 : 0;
  return static_cast<std::uint8_t>(code);
}

// A block's values are divided by at least this: an all-zero block must not divide by zero.
inline constexpr float kNf4SmallestAbsmax = 1e-38F;

// Codes and absmax of `values`, which start at a block and end at one or with the tensor. A last block that is short
// divides where whole blocks multiply by the reciprocal, and stores at least kNf4SmallestAbsmax: both are seen in the
// bits. codes: (n + 1) / 2 bytes, a lacking last value counts as 0.
void nf4_encode(std::span<const float> values, int block, std::byte* codes, float* absmax);

// What the absmax of a doubly quantised tensor are restored with. The map travels with its tensor: programs make it up
// to the last bit of some levels only.
struct Nf4Nested {
  float offset;
  std::array<float, kDynamicLevels> map;
};

// absmax in 8 bit: offset = mean, then groups of kNestedBlock in the signed dynamic map, kDynamicMap.
void compress_absmax(std::span<const float> absmax, std::byte* codes, float* group_absmax, Nf4Nested* nested);

// The code of value i: even ones are in the high nibble.
HOST_DEVICE inline std::uint8_t nf4_code_at(const std::byte* codes, std::int64_t i) {
  const auto byte = static_cast<unsigned>(codes[i / 2]);
  return static_cast<std::uint8_t>(i % 2 == 0 ? byte >> 4U : byte & 15U);
}

// absmax of block b, restored from 8 bit where it is doubly quantised.
inline float nf4_absmax(const PackedTensor& w, std::int64_t b) {
  if (!w.format.double_quant) return reinterpret_cast<const float*>(w.sections[1])[b];
  const auto* nested = reinterpret_cast<const Nf4Nested*>(w.sections[3]);
  const float level = nested->map[static_cast<std::size_t>(w.sections[1][b])];
  const float scale = reinterpret_cast<const float*>(w.sections[2])[b / kNestedBlock];
  return level * scale + nested->offset;
}

// What a code of a block stands for, in f32.
inline float nf4_decode(const Format& format, std::uint8_t code, float absmax) {
  const float value = nf4_value(code) * absmax;
  if (format.rounded_to == DType::kBF16) return to_float(to_bf16(value));
  if (format.rounded_to == DType::kF16) return to_float(to_f16(value));
  return value;
}

// Value i of a packed tensor, in f32.
inline float nf4_decode(const PackedTensor& w, std::int64_t i) {
  return nf4_decode(w.format, nf4_code_at(w.sections[0], i), nf4_absmax(w, i / w.format.block));
}

}  // namespace shardlora
