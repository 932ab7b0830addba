// What goes with tensor cores: a product by a warp, loads of its operands, copies behind the back of a thread, numbers
// in half precision.
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

// Four matrices of 8 x 8 values of 16 bits from shared memory, whose rows start at the 32 lanes' `row`: ldmatrix.
void load_matrices(unsigned (&d)[4], const void* row, bool transposed, const std::source_location& where);

// 16 bytes into shared memory, or zeros, when the thread calls copy_now: cp.async.
void copy_16_later(void* shared, const void* global, bool take);
void copy_now();

}  // namespace emulation
