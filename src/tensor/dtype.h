// Element types, and the 16-bit floating-point numbers as plain bits with their conversions (round to nearest, ties to
// even).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/host_device.h"

namespace shardlora {

enum class DType : std::uint8_t { kF32, kBF16, kF16, kI32, kU8 };

constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kI32: return 4;
    case DType::kBF16:
    case DType::kF16: return 2;
    case DType::kU8: return 1;
  }
  return 0;
}

std::string_view name_of(DType dtype);

struct BF16 {
  std::uint16_t bits;
};

struct F16 {
  std::uint16_t bits;
};

HOST_DEVICE inline float to_float(float x) { return x; }
HOST_DEVICE inline float to_float(BF16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }

HOST_DEVICE inline BF16 to_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const bool is_nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
  const std::uint32_t rounded = bits + 0x7FFFU + ((bits >> 16) & 1U);
  return {static_cast<std::uint16_t>(is_nan ? ((bits >> 16) | 0x40U) : (rounded >> 16))};
}

// Selects instead of branches, so that a loop over them becomes vector code.
HOST_DEVICE inline float to_float(F16 x) {
  const std::uint32_t magnitude = (x.bits & 0x7FFFU) << 13;
  const std::uint32_t rebased = magnitude + (112U << 23);
  // Zero or subnormal: one is added to the exponent and its value taken away again, both exact in f32.
  const std::uint32_t small =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(rebased + (1U << 23)) - std::bit_cast<float>(113U << 23));
  const std::uint32_t inf_or_nan = rebased + (112U << 23);
  const std::uint32_t finite = magnitude < 0x0800000U ? small : rebased;
  return std::bit_cast<float>((magnitude < 0xF800000U ? finite : inf_or_nan) |
                              (static_cast<std::uint32_t>(x.bits & 0x8000U) << 16));
}

HOST_DEVICE inline F16 to_f16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  const std::uint32_t normal = (magnitude + 0xFFFU + ((magnitude >> 13) & 1U) - (112U << 23)) >> 13;
  // Below 2^-14, subnormal with unit 2^-24: so has 0.5, and the addition does the rounding.
  const std::uint32_t small = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3F000000U;
  const std::uint32_t finite = magnitude < 0x38800000U ? small : normal;
  const std::uint32_t inf_or_nan = magnitude > 0x7F800000U ? 0x7E00U : 0x7C00U;
  // From 65520 on a number is nearer to 65536, which is infinity, than to 65504.
  const std::uint32_t rounded = magnitude < 0x477FF000U ? finite : inf_or_nan;
  return {static_cast<std::uint16_t>(rounded | ((bits >> 16) & 0x8000U))};
}

template <typename T>
T from_float(float x);
template <>
inline float from_float<float>(float x) {
  return x;
}
template <>
inline BF16 from_float<BF16>(float x) {
  return to_bf16(x);
}
template <>
inline F16 from_float<F16>(float x) {
  return to_f16(x);
}

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<BF16> {
  static constexpr DType value = DType::kBF16;
};
template <>
struct DTypeOf<F16> {
  static constexpr DType value = DType::kF16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::kI32;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::kU8;
};

}  // namespace shardlora
