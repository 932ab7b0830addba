// Decoding of ggml's larger blocks: 256 values with scales of 6 bits or 4 for each 16 or 32 of them, and the 5-bit
// blocks of 32. Layouts: ggml's ggml-quants.h. All arithmetic is f32, in the order of the reference.
#pragma once

#include <cstddef>

namespace shardlora {

// One block from `from` to 32 values.
void decode_q5_0(const std::byte* from, float* out);
void decode_q5_1(const std::byte* from, float* out);
// One block from `from` to 256 values.
void decode_q2_k(const std::byte* from, float* out);
void decode_q3_k(const std::byte* from, float* out);
void decode_q4_k(const std::byte* from, float* out);
void decode_q5_k(const std::byte* from, float* out);
void decode_q6_k(const std::byte* from, float* out);

}  // namespace shardlora
