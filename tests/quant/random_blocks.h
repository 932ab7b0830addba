// Blocks of a codec that is read and never made: random bytes whose values are finite.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "quant/codec.h"

namespace shardlora {

inline std::vector<std::byte> random_blocks(const Format& format, std::int64_t values, unsigned seed) {
  std::mt19937 random(seed);
  const std::int64_t grain = grain_of(format);
  const std::size_t block = section_bytes(format, {grain})[0];
  std::vector<std::byte> bytes(section_bytes(format, {values})[0]);
  std::vector<float> decoded(static_cast<std::size_t>(grain));
  for (std::size_t begin = 0; begin < bytes.size();) {
    for (std::size_t i = 0; i < block; ++i) bytes[begin + i] = static_cast<std::byte>(random());
    dequantize({format, {grain}, {bytes.data() + begin}}, 0, decoded);
    if (std::all_of(decoded.begin(), decoded.end(), [](float x) { return std::isfinite(x); })) begin += block;
  }
  return bytes;
}

// Those of quantised GGUF files.
inline std::vector<Format> ggml_formats() {
  std::vector<Format> formats;
  for (const CodecRow* row : codecs())
    if (row->encode == nullptr) formats.push_back({.codec = row->codec});
  return formats;
}

}  // namespace shardlora
