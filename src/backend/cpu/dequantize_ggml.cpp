// The blocks of GGUF files to values: in f32, product and sum rounded one by one, then once to y. Bit for bit what
// quant/ggml.cpp decodes, rounded to y.
#include "backend/cpu/kernels.h"
#include "backend/float_type.h"
#include "quant/ggml_blocks.h"

namespace shardlora::cpu {
namespace {

template <typename Block, typename T>
[[gnu::always_inline]] inline void decode_block(T* to, const std::byte* block) {
#pragma GCC unroll 16
  for (int g = 0; g < Block::kValues / Block::kGroup; ++g) {
    const ggml::Group group = Block::group(block, g);
#pragma omp simd
    for (int i = 0; i < Block::kGroup; ++i) {
      float value = static_cast<float>(Block::code(block, g, i)) * group.scale;
      if constexpr (Block::kOffset) value += group.offset;
      to[g * Block::kGroup + i] = from_float<T>(value);
    }
  }
}

}  // namespace

void dequantize_ggml(Tensor y, const PackedTensor& w) {
  ggml::with_block(w.format.codec, [&]<typename Block>(std::type_identity<Block>) {
    with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
      const std::int64_t n = y.numel(), blocks = n / Block::kValues;
      T* const out = y.as<T>();
      const std::byte* const from = w.sections[0];
#pragma omp parallel for schedule(static) if (n > kParallelValues)
      for (std::int64_t b = 0; b < blocks; ++b) decode_block<Block>(out + b * Block::kValues, from + b * Block::kBytes);
    });
  });
}

}  // namespace shardlora::cpu
