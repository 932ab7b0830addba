// The blocks of quantised GGUF files, one type each: 32 values with an f16 scale (and a minimum), or 256 with scales of
// 4 or 6 bits for every 16 or 32 of them. In each of them a group of values shares a scale, so that value i of group g
// is code(g, i) * scale + offset, in f32, product and sum rounded one by one; without kOffset it is the product alone.
// kScaleAt and kMinAt are the bytes of the f16 numbers that scales and offsets are made of; with kCodedScales they are
// these times scale_code(g) and -min_code(g), which have a byte of their own, or of both, where kByteScales. code(g, i)
// holds for i < kRun: a run is one group, or two where g is even.
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
HOST_DEVICE inline F16 f16_at(const std::byte* from) {
  return {static_cast<std::uint16_t>(byte_at(from, 0) | byte_at(from, 1) << 8U)};
}

// The fifth bit of value i of group g, at its place in the code, out of a u32 that holds those of 32 values.
HOST_DEVICE inline unsigned fifth_bit(const std::byte* bits, int g, int i) {
  return (byte_at(bits, 2 * g) | byte_at(bits, 2 * g + 1) << 8U) << 4U >> i & 16U;
}

// f16 d, u8 q[16]: (q - 8) d. Low nibbles are the values 0..15, high ones 16..31; so in all blocks of 32 with nibbles.
struct Q4_0 {
  static constexpr int kValues = 32, kBytes = 18, kGroup = 16, kRun = 16;
  static constexpr int kScaleAt = 0;
  static constexpr bool kOffset = false, kCodedScales = false;
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    return static_cast<int>(byte_at(block, 2 + i) >> (4 * g) & 15U) - 8;
  }
};

// f16 d, f16 m, u8 q[16]: q d + m
struct Q4_1 {
  static constexpr int kValues = 32, kBytes = 20, kGroup = 16, kRun = 16;
  static constexpr int kScaleAt = 0, kMinAt = 2;
  static constexpr bool kOffset = true, kCodedScales = false;
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    return static_cast<int>(byte_at(block, 4 + i) >> (4 * g) & 15U);
  }
};

// f16 d, u32 fifth bits, u8 q[16]: (q - 16) d
struct Q5_0 {
  static constexpr int kValues = 32, kBytes = 22, kGroup = 16, kRun = 16;
  static constexpr int kFifthAt = 2, kScaleAt = 0;
  static constexpr bool kOffset = false, kCodedScales = false;
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    return code_with(fifth_bit(block + kFifthAt, g, i), block, g, i);
  }
  HOST_DEVICE static int code_with(unsigned fifth, const std::byte* block, int g, int i) {
    return static_cast<int>((byte_at(block, 6 + i) >> (4 * g) & 15U) | fifth) - 16;
  }
};

// f16 d, f16 m, u32 fifth bits, u8 q[16]: q d + m
struct Q5_1 {
  static constexpr int kValues = 32, kBytes = 24, kGroup = 16, kRun = 16;
  static constexpr int kFifthAt = 4, kScaleAt = 0, kMinAt = 2;
  static constexpr bool kOffset = true, kCodedScales = false;
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    return code_with(fifth_bit(block + kFifthAt, g, i), block, g, i);
  }
  HOST_DEVICE static int code_with(unsigned fifth, const std::byte* block, int g, int i) {
    return static_cast<int>((byte_at(block, 8 + i) >> (4 * g) & 15U) | fifth);
  }
};

// f16 d, i8 q[32]: q d
struct Q8_0 {
  static constexpr int kValues = 32, kBytes = 34, kGroup = 32, kRun = 32;
  static constexpr int kScaleAt = 0;
  static constexpr bool kOffset = false, kCodedScales = false;
  HOST_DEVICE static int code(const std::byte* block, int, int i) {
    return static_cast<std::int8_t>(byte_at(block, 2 + i));
  }
};

// u8 scales[16] (low nibble scale, high one minimum), u8 q[64], f16 d, f16 dmin: d scale q - dmin min. A byte of q
// holds a value of four groups that are two apart; a half of the block has 32 bytes.
struct Q2_K {
  static constexpr int kValues = 256, kBytes = 84, kGroup = 16, kRun = 32;
  static constexpr int kScaleAt = 80, kMinAt = 82;
  static constexpr bool kOffset = true, kCodedScales = true, kByteScales = true;
  HOST_DEVICE static int scale_code(const std::byte* block, int g) { return static_cast<int>(byte_at(block, g) & 15U); }
  HOST_DEVICE static int min_code(const std::byte* block, int g) { return static_cast<int>(byte_at(block, g) >> 4U); }
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    return static_cast<int>(byte_at(block, 16 + 32 * (g / 8) + 16 * (g % 2) + i) >> (2 * (g / 2 % 4)) & 3U);
  }
};

// u8 third bits[32], u8 q[64], u8 scales[12], f16 d: d (scale - 32) (q - 4). Scales have 6 bits: low 4 in the first 8
// bytes, high 2 in the last 4.
struct Q3_K {
  static constexpr int kValues = 256, kBytes = 110, kGroup = 16, kRun = 32;
  static constexpr int kScaleAt = 108;
  static constexpr bool kOffset = false, kCodedScales = true, kByteScales = false;
  HOST_DEVICE static int scale_code(const std::byte* block, int g) {
    const std::byte* scales = block + 96;
    const unsigned low = byte_at(scales, g % 8) >> (4 * (g / 8)) & 15U;
    const unsigned high = byte_at(scales, 8 + g % 4) >> (2 * (g / 4)) & 3U;
    return static_cast<int>(low | high << 4U) - 32;
  }
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    const int place = 16 * (g % 2) + i;
    const unsigned low = byte_at(block, 32 + 32 * (g / 8) + place) >> (2 * (g / 2 % 4)) & 3U;
    const unsigned high = byte_at(block, place) >> (g / 2) & 1U;
    return static_cast<int>(low | high << 2U) - 4;
  }
};

// Scales and minima of eight groups in 12 bytes: 6 bits each, the upper two of groups 4 to 7 beside those of 0 to 3.
struct SixBitScales {
  HOST_DEVICE static int scale_code(const std::byte* block, int g) {
    const std::byte* packed = block + 4;
    if (g < 4) return static_cast<int>(byte_at(packed, g) & 63U);
    return static_cast<int>((byte_at(packed, g + 4) & 15U) | byte_at(packed, g - 4) >> 6U << 4U);
  }
  HOST_DEVICE static int min_code(const std::byte* block, int g) {
    const std::byte* packed = block + 4;
    if (g < 4) return static_cast<int>(byte_at(packed, g + 4) & 63U);
    return static_cast<int>(byte_at(packed, g + 4) >> 4U | byte_at(packed, g) >> 6U << 4U);
  }
};

// f16 d, f16 dmin, u8 scales[12], u8 q[128]: d scale q - dmin min. Two groups share 32 bytes, low nibbles first.
struct Q4_K : SixBitScales {
  static constexpr int kValues = 256, kBytes = 144, kGroup = 32, kRun = 32;
  static constexpr int kScaleAt = 0, kMinAt = 2;
  static constexpr bool kOffset = true, kCodedScales = true, kByteScales = false;
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    return static_cast<int>(byte_at(block, 16 + 32 * (g / 2) + i) >> (4 * (g % 2)) & 15U);
  }
};

// f16 d, f16 dmin, u8 scales[12], u8 fifth bits[32], u8 q[128]: d scale q - dmin min
struct Q5_K : SixBitScales {
  static constexpr int kValues = 256, kBytes = 176, kGroup = 32, kRun = 32;
  static constexpr int kScaleAt = 0, kMinAt = 2;
  static constexpr bool kOffset = true, kCodedScales = true, kByteScales = false;
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    const unsigned low = byte_at(block, 48 + 32 * (g / 2) + i) >> (4 * (g % 2)) & 15U;
    return static_cast<int>(low | (byte_at(block, 16 + i) >> g & 1U) << 4U);
  }
};

// u8 low[128], u8 high[64], i8 scales[16], f16 d: d scale (q - 32). A quarter of a half is 32 values.
struct Q6_K {
  static constexpr int kValues = 256, kBytes = 210, kGroup = 16, kRun = 32;
  static constexpr int kScaleAt = 208;
  static constexpr bool kOffset = false, kCodedScales = true, kByteScales = true;
  HOST_DEVICE static int scale_code(const std::byte* block, int g) {
    return static_cast<std::int8_t>(byte_at(block, 192 + g));
  }
  HOST_DEVICE static int code(const std::byte* block, int g, int i) {
    const int half = g / 8, quarter = g / 2 % 4, place = 16 * (g % 2) + i;
    const unsigned low = byte_at(block, 64 * half + 32 * (quarter % 2) + place) >> (4 * (quarter / 2)) & 15U;
    const unsigned high = byte_at(block, 128 + 32 * half + place) >> (2 * quarter) & 3U;
    return static_cast<int>(low | high << 4U) - 32;
  }
};

// What group g of a block multiplies its codes with and adds to them; offset is 0 without kOffset.
template <typename Block>
HOST_DEVICE Group group_of(const std::byte* block, int g) {
  Group group{to_float(f16_at(block + Block::kScaleAt)), 0};
  if constexpr (Block::kOffset) group.offset = to_float(f16_at(block + Block::kMinAt));
  if constexpr (Block::kCodedScales) group.scale *= static_cast<float>(Block::scale_code(block, g));
  if constexpr (Block::kCodedScales && Block::kOffset)
    group.offset = -(group.offset * static_cast<float>(Block::min_code(block, g)));
  return group;
}

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
