// The blocks of quantised GGUF files, one type each: 32 values with an f16 scale (and a minimum), or 256 with scales of
// 4 or 6 bits for every 16 or 32 of them. In each of them a group of values shares a scale, so that value i of group g
// is code(g, i) * scale + offset, in f32, product and sum rounded one by one; without kOffset it is the product alone.
// Layouts and order of operations: ggml's ggml-quants.{h,c}.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "base/host_device.h"
#include "quant/format.h"
#include "tensor/dtype.h"

namespace shardlora::ggml {

struct Group {
  float scale, offset;
};

HOST_DEVICE inline unsigned byte_at(const std::byte* from, int i) { return static_cast<unsigned>(from[i]); }
HOST_DEVICE inline float half_at(const std::byte* from) {
  return to_float(F16{static_cast<std::uint16_t>(byte_at(from, 0) | byte_at(from, 1) << 8U)});
}
HOST_DEVICE inline unsigned word_at(const std::byte* from) {
  return byte_at(from, 0) | byte_at(from, 1) << 8U | byte_at(from, 2) << 16U | byte_at(from, 3) << 24U;
}

// f16 d, u8 q[16]: (q - 8) d. Low nibbles are the values 0..15, high ones 16..31; so in all blocks of 32 with nibbles.
struct Q4_0 {
  static constexpr int kValues = 32, kBytes = 18, kGroup = 16;
  static constexpr bool kOffset = false;
  HOST_DEVICE static Group group(const std::byte* block, int) { return {half_at(block), 0}; }
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    return static_cast<int>(byte_at(block, 2 + i) >> (4 * g) & 15U) - 8;
  }
};

// f16 d, f16 m, u8 q[16]: q d + m
struct Q4_1 {
  static constexpr int kValues = 32, kBytes = 20, kGroup = 16;
  static constexpr bool kOffset = true;
  HOST_DEVICE static Group group(const std::byte* block, int) { return {half_at(block), half_at(block + 2)}; }
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    return static_cast<int>(byte_at(block, 4 + i) >> (4 * g) & 15U);
  }
};

// f16 d, u32 fifth bits, u8 q[16]: (q - 16) d
struct Q5_0 {
  static constexpr int kValues = 32, kBytes = 22, kGroup = 16;
  static constexpr bool kOffset = false;
  HOST_DEVICE static Group group(const std::byte* block, int) { return {half_at(block), 0}; }
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    const unsigned low = byte_at(block, 6 + i) >> (4 * g) & 15U, high = word_at(block + 2) >> (16 * g + i) & 1U;
    return static_cast<int>(low | high << 4U) - 16;
  }
};

// f16 d, f16 m, u32 fifth bits, u8 q[16]: q d + m
struct Q5_1 {
  static constexpr int kValues = 32, kBytes = 24, kGroup = 16;
  static constexpr bool kOffset = true;
  HOST_DEVICE static Group group(const std::byte* block, int) { return {half_at(block), half_at(block + 2)}; }
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    const unsigned low = byte_at(block, 8 + i) >> (4 * g) & 15U, high = word_at(block + 4) >> (16 * g + i) & 1U;
    return static_cast<int>(low | high << 4U);
  }
};

// f16 d, i8 q[32]: q d
struct Q8_0 {
  static constexpr int kValues = 32, kBytes = 34, kGroup = 32;
  static constexpr bool kOffset = false;
  HOST_DEVICE static Group group(const std::byte* block, int) { return {half_at(block), 0}; }
  HOST_DEVICE static int code(const std::byte* block, int, int i) {
    return static_cast<std::int8_t>(byte_at(block, 2 + i));
  }
};

// u8 scales[16] (low nibble scale, high one minimum), u8 q[64], f16 d, f16 dmin: d scale q - dmin min. A byte of q
// holds a value of four groups that are two apart; a half of the block has 32 bytes.
struct Q2_K {
  static constexpr int kValues = 256, kBytes = 84, kGroup = 16;
  static constexpr bool kOffset = true;
  HOST_DEVICE static Group group(const std::byte* block, int g) {
    const unsigned both = byte_at(block, g);
    return {half_at(block + 80) * static_cast<float>(both & 15U),
            -(half_at(block + 82) * static_cast<float>(both >> 4U))};
  }
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    return static_cast<int>(byte_at(block, 16 + 32 * (g / 8) + 16 * (g % 2) + i) >> (2 * (g / 2 % 4)) & 3U);
  }
};

// u8 third bits[32], u8 q[64], u8 scales[12], f16 d: d (scale - 32) (q - 4). Scales have 6 bits: low 4 in the first 8
// bytes, high 2 in the last 4.
struct Q3_K {
  static constexpr int kValues = 256, kBytes = 110, kGroup = 16;
  static constexpr bool kOffset = false;
  HOST_DEVICE static Group group(const std::byte* block, int g) {
    const std::byte* scales = block + 96;
    const unsigned low = byte_at(scales, g % 8) >> (4 * (g / 8)) & 15U;
    const unsigned high = byte_at(scales, 8 + g % 4) >> (2 * (g / 4)) & 3U;
    return {half_at(block + 108) * static_cast<float>(static_cast<int>(low | high << 4U) - 32), 0};
  }
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    const int place = 16 * (g % 2) + i;
    const unsigned low = byte_at(block, 32 + 32 * (g / 8) + place) >> (2 * (g / 2 % 4)) & 3U;
    const unsigned high = byte_at(block, place) >> (g / 2) & 1U;
    return static_cast<int>(low | high << 2U) - 4;
  }
};

// Scale and minimum of group g < 8 out of 12 bytes: 6 bits each, the upper two of g >= 4 beside those of g - 4.
HOST_DEVICE inline Group six_bit_group(const std::byte* block, int g) {
  const std::byte* packed = block + 4;
  const unsigned here = byte_at(packed, g), last = g < 4 ? 0 : byte_at(packed, g - 4), next = byte_at(packed, g + 4);
  const unsigned scale = g < 4 ? here & 63U : (next & 15U) | last >> 6U << 4U;
  const unsigned min = g < 4 ? next & 63U : next >> 4U | here >> 6U << 4U;
  return {half_at(block) * static_cast<float>(scale), -(half_at(block + 2) * static_cast<float>(min))};
}

// f16 d, f16 dmin, u8 scales[12], u8 q[128]: d scale q - dmin min. Two groups share 32 bytes, low nibbles first.
struct Q4_K {
  static constexpr int kValues = 256, kBytes = 144, kGroup = 32;
  static constexpr bool kOffset = true;
  HOST_DEVICE static Group group(const std::byte* block, int g) { return six_bit_group(block, g); }
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    return static_cast<int>(byte_at(block, 16 + 32 * (g / 2) + i) >> (4 * (g % 2)) & 15U);
  }
};

// f16 d, f16 dmin, u8 scales[12], u8 fifth bits[32], u8 q[128]: d scale q - dmin min
struct Q5_K {
  static constexpr int kValues = 256, kBytes = 176, kGroup = 32;
  static constexpr bool kOffset = true;
  HOST_DEVICE static Group group(const std::byte* block, int g) { return six_bit_group(block, g); }
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    const unsigned low = byte_at(block, 48 + 32 * (g / 2) + i) >> (4 * (g % 2)) & 15U;
    return static_cast<int>(low | (byte_at(block, 16 + i) >> g & 1U) << 4U);
  }
};

// u8 low[128], u8 high[64], i8 scales[16], f16 d: d scale (q - 32). A quarter of a half is 32 values.
struct Q6_K {
  static constexpr int kValues = 256, kBytes = 210, kGroup = 16;
  static constexpr bool kOffset = false;
  HOST_DEVICE static Group group(const std::byte* block, int g) {
    return {half_at(block + 208) * static_cast<float>(static_cast<std::int8_t>(byte_at(block, 192 + g))), 0};
  }
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    const int half = g / 8, quarter = g / 2 % 4, place = 16 * (g % 2) + i;
    const unsigned low = byte_at(block, 64 * half + 32 * (quarter % 2) + place) >> (4 * (quarter / 2)) & 15U;
    const unsigned high = byte_at(block, 128 + 32 * half + place) >> (2 * quarter) & 3U;
    return static_cast<int>(low | high << 4U) - 32;
  }
};

// body(std::type_identity<Block>{}) with the block of a codec of this file.
template <typename Body>
void with_block(Codec codec, Body&& body) {
  switch (codec) {
    case Codec::kQ4_0: return std::forward<Body>(body)(std::type_identity<Q4_0>{});
    case Codec::kQ4_1: return std::forward<Body>(body)(std::type_identity<Q4_1>{});
    case Codec::kQ5_0: return std::forward<Body>(body)(std::type_identity<Q5_0>{});
    case Codec::kQ5_1: return std::forward<Body>(body)(std::type_identity<Q5_1>{});
    case Codec::kQ8_0: return std::forward<Body>(body)(std::type_identity<Q8_0>{});
    case Codec::kQ2_K: return std::forward<Body>(body)(std::type_identity<Q2_K>{});
    case Codec::kQ3_K: return std::forward<Body>(body)(std::type_identity<Q3_K>{});
    case Codec::kQ4_K: return std::forward<Body>(body)(std::type_identity<Q4_K>{});
    case Codec::kQ5_K: return std::forward<Body>(body)(std::type_identity<Q5_K>{});
    case Codec::kQ6_K: return std::forward<Body>(body)(std::type_identity<Q6_K>{});
    default: CHECK(false, "codec {} has no blocks of ggml", static_cast<int>(codec));
  }
}

}  // namespace shardlora::ggml
