#include "io/gguf_k_blocks.h"

#include <cstdint>
#include <cstring>

#include "tensor/dtype.h"

namespace shardlora {
namespace {

float half_at(const std::byte* from) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, from, sizeof bits);
  return to_float(F16{bits});
}
unsigned byte_at(const std::byte* from, std::size_t i) { return std::to_integer<unsigned>(from[i]); }
std::uint32_t word_at(const std::byte* from) {
  std::uint32_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// The scale and the minimum of sub-block j < 8: 6 bits each, the upper two of j >= 4 beside those of j - 4.
struct ScaleAndMin {
  float scale, min;
};
ScaleAndMin scale_and_min(const std::byte* packed, std::size_t j) {
  const auto at = [&](std::size_t i) { return byte_at(packed, i); };
  if (j < 4) return {static_cast<float>(at(j) & 63), static_cast<float>(at(j + 4) & 63)};
  return {static_cast<float>((at(j + 4) & 15) | (at(j - 4) >> 6 << 4)),
          static_cast<float>((at(j + 4) >> 4) | (at(j) >> 6 << 4))};
}

// Scale j < 16 of Q3_K: low 4 bits in the first 8 bytes, high 2 in the last 4; 32 stands for 0.
float q3_scale(const std::byte* packed, std::size_t j) {
  const unsigned low = j < 8 ? byte_at(packed, j) & 15 : byte_at(packed, j - 8) >> 4;
  const unsigned high = byte_at(packed, 8 + j % 4) >> (2 * (j / 4)) & 3;
  return static_cast<float>(static_cast<int>(low | high << 4) - 32);
}

}  // namespace

// f16 d, u32 fifth bits, u8 q[16]: (q - 16) d
void decode_q5_0(const std::byte* from, float* out) {
  const float d = half_at(from);
  const std::uint32_t high = word_at(from + 2);
  for (std::size_t i = 0; i < 16; ++i) {
    const unsigned q = byte_at(from, 6 + i);
    out[i] = static_cast<float>(static_cast<int>((q & 15) | (high >> i & 1) << 4) - 16) * d;
    out[i + 16] = static_cast<float>(static_cast<int>(q >> 4 | (high >> (i + 16) & 1) << 4) - 16) * d;
  }
}

// f16 d, f16 m, u32 fifth bits, u8 q[16]: q d + m
void decode_q5_1(const std::byte* from, float* out) {
  const float d = half_at(from), m = half_at(from + 2);
  const std::uint32_t high = word_at(from + 4);
  for (std::size_t i = 0; i < 16; ++i) {
    const unsigned q = byte_at(from, 8 + i);
    out[i] = static_cast<float>((q & 15) | (high >> i & 1) << 4) * d + m;
    out[i + 16] = static_cast<float>(q >> 4 | (high >> (i + 16) & 1) << 4) * d + m;
  }
}

// u8 scales[16] (low nibble scale, high one minimum), u8 q[64], f16 d, f16 dmin: d scale q - dmin min
void decode_q2_k(const std::byte* from, float* out) {
  const std::byte* q = from + 16;
  const float d = half_at(from + 80), dmin = half_at(from + 82);
  for (std::size_t j = 0; j < 16; ++j) {  // 16 values each: two a shift, four shifts a half
    const unsigned scale = byte_at(from, j), shift = 2 * (j / 2 % 4);
    const float d_scale = d * static_cast<float>(scale & 15), min = dmin * static_cast<float>(scale >> 4);
    for (std::size_t l = 0; l < 16; ++l)
      out[16 * j + l] = d_scale * static_cast<float>(byte_at(q, 32 * (j / 8) + 16 * (j % 2) + l) >> shift & 3) - min;
  }
}

// u8 third bits[32], u8 q[64], u8 scales[12], f16 d: d scale (q - 4)
void decode_q3_k(const std::byte* from, float* out) {
  const std::byte *q = from + 32, *scales = from + 96;
  const float d = half_at(from + 108);
  for (std::size_t j = 0; j < 16; ++j) {
    const float d_scale = d * q3_scale(scales, j);
    for (std::size_t l = 0; l < 16; ++l) {
      const std::size_t place = 16 * (j % 2) + l;
      const unsigned low = byte_at(q, 32 * (j / 8) + place) >> (2 * (j / 2 % 4)) & 3;
      const unsigned high = byte_at(from, place) >> (j / 2) & 1;
      out[16 * j + l] = d_scale * static_cast<float>(static_cast<int>(low | high << 2) - 4);
    }
  }
}

// f16 d, f16 dmin, u8 scales[12], u8 q[128]: d scale q - dmin min
void decode_q4_k(const std::byte* from, float* out) {
  const float d = half_at(from), dmin = half_at(from + 2);
  for (std::size_t j = 0; j < 8; ++j) {  // 32 values each: low nibbles of 32 bytes, then the high ones
    const auto [scale, min] = scale_and_min(from + 4, j);
    const float d_scale = d * scale, d_min = dmin * min;
    for (std::size_t l = 0; l < 32; ++l)
      out[32 * j + l] =
          d_scale * static_cast<float>(byte_at(from, 16 + 32 * (j / 2) + l) >> (4 * (j % 2)) & 15) - d_min;
  }
}

// f16 d, f16 dmin, u8 scales[12], u8 fifth bits[32], u8 q[128]: d scale q - dmin min
void decode_q5_k(const std::byte* from, float* out) {
  const float d = half_at(from), dmin = half_at(from + 2);
  for (std::size_t j = 0; j < 8; ++j) {
    const auto [scale, min] = scale_and_min(from + 4, j);
    const float d_scale = d * scale, d_min = dmin * min;
    for (std::size_t l = 0; l < 32; ++l) {
      const unsigned low = byte_at(from, 48 + 32 * (j / 2) + l) >> (4 * (j % 2)) & 15;
      const unsigned high = byte_at(from, 16 + l) >> j & 1;
      out[32 * j + l] = d_scale * static_cast<float>(low | high << 4) - d_min;
    }
  }
}

// u8 low[128], u8 high[64], i8 scales[16], f16 d: d scale (q - 32)
void decode_q6_k(const std::byte* from, float* out) {
  const float d = half_at(from + 208);
  for (std::size_t j = 0; j < 16; ++j) {  // 16 values each; a quarter of a half is 32 values
    const std::size_t half = j / 8, quarter = j / 2 % 4;
    const float d_scale = d * static_cast<float>(static_cast<std::int8_t>(byte_at(from, 192 + j)));
    for (std::size_t l = 0; l < 16; ++l) {
      const std::size_t place = 16 * (j % 2) + l;
      const unsigned low = byte_at(from, 64 * half + 32 * (quarter % 2) + place) >> (4 * (quarter / 2)) & 15;
      const unsigned high = byte_at(from, 128 + 32 * half + place) >> (2 * quarter) & 3;
      out[16 * j + l] = d_scale * static_cast<float>(static_cast<int>(low | high << 4) - 32);
    }
  }
}

}  // namespace shardlora
