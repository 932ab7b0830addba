// A tensor core's product by a warp, and numbers in half precision.
#pragma once

#include <bit>
#include <cstdint>
#include <source_location>

namespace emulation {

inline float half_to_float(std::uint16_t bits) { return static_cast<float>(std::bit_cast<_Float16>(bits)); }
inline std::uint16_t float_to_half(float x) { return std::bit_cast<std::uint16_t>(static_cast<_Float16>(x)); }

// d (16, 8) += a (16, 16) b (16, 8): the fragments of PTX's mma.m16n8k16, row.col, bf16 or f16 in, sums in f32.
void mma_16816(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], bool bf16,
               const std::source_location& where);

}  // namespace emulation
