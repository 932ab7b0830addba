// The blocks of GGUF files to values: in f32, product and sum rounded one by one, then once to y. Bit for bit what
// quant/ggml.cpp decodes, rounded to y.
//
// 256 values at once, whatever their blocks hold, in two passes: codes become bytes on the stack, then these become
// values. So loops are not cut where a group of 16 ends, and what the second pass reads was written long enough before
// to be there, however wide it was written.
#include <cmath>
#include <utility>

#include "backend/cpu/f16.h"
#include "backend/cpu/kernels.h"
#include "backend/float_type.h"
#include "quant/ggml_blocks.h"

namespace shardlora::cpu {
namespace {

constexpr int kAtOnce = 256;
constexpr int kLine = 32;  // values of one pass of a vector loop: what fills the vectors that bytes are unpacked from

// Numbers and infinities, rounded: from_float() without what it does about NaN.
[[gnu::always_inline]] inline void round_line(float* to, const float* from) {
  for (int i = 0; i < kLine; ++i) to[i] = from[i];
}
[[gnu::always_inline]] inline void round_line(BF16* to, const float* from) {
#pragma omp simd
  for (int i = 0; i < kLine; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(from[i]);
    to[i].bits = static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
  }
}
[[gnu::always_inline]] inline void round_line(F16* to, const float* from) { round_numbers<kLine>(to, from); }

// code(0), code(1), ... as numbers. Each is written out with its index known, but where a loop over them is one over
// bytes (kByteScales): that fills vectors.
template <typename Block, typename Code, int... g>
[[gnu::always_inline]] inline void convert_codes(float* to, const Code& code, std::integer_sequence<int, g...>) {
  if constexpr (Block::kByteScales) {
#pragma omp simd
    for (int k = 0; k < static_cast<int>(sizeof...(g)); ++k) to[k] = static_cast<float>(code(k));
  } else {
    ((to[g] = static_cast<float>(code(g))), ...);
  }
}

// Scales and offsets of the groups of a block, and whether they are finite: then all of its values are.
template <typename Block>
struct Groups {
  static constexpr int kCount = Block::kCodedScales ? Block::kValues / Block::kGroup : 1;
  static constexpr int kWidth = Block::kValues / kCount;  // values of each

  [[gnu::always_inline]] explicit Groups(const std::byte* block) {
    constexpr auto kEach = std::make_integer_sequence<int, kCount>{};
    const float d = f16_to_float(ggml::f16_at(block + Block::kScaleAt));
    scale[0] = d;
    if constexpr (Block::kCodedScales) {
      convert_codes<Block>(scale, [&](int g) { return Block::scale_code(block, g); }, kEach);
      for (float& s : scale) s *= d;
    }
    finite = std::isfinite(d);
    if constexpr (Block::kOffset) {
      const float min = f16_to_float(ggml::f16_at(block + Block::kMinAt));
      offset[0] = min;
      if constexpr (Block::kCodedScales) {
        convert_codes<Block>(offset, [&](int g) { return Block::min_code(block, g); }, kEach);
        for (float& o : offset) o = -(min * o);
      }
      finite = finite && std::isfinite(min);
    }
  }
  float scale[kCount], offset[kCount];
  bool finite;
};

// Codes fit into a byte with their sign in every block.
template <typename Block, int... r>
[[gnu::always_inline]] inline void unpack(std::int8_t* codes, const std::byte* block,
                                          std::integer_sequence<int, r...>) {
  const auto unpack_run = [&]<int run>(std::integral_constant<int, run>) __attribute__((always_inline)) {
#pragma omp simd
    for (int i = 0; i < Block::kRun; ++i)
      codes[run * Block::kRun + i] = static_cast<std::int8_t>(Block::code(block, run * Block::kRun / Block::kGroup, i));
  };
  (unpack_run(std::integral_constant<int, r>{}), ...);
}

// kLine values; scale and offset are those of all of them, or kEach: of each.
template <typename Block, bool kFinite, bool kEach, typename T>
[[gnu::always_inline]] inline void decode_line(T* to, const std::int8_t* codes, const float* scale,
                                               const float* offset) {
  float values[kLine];
#pragma omp simd
  for (int i = 0; i < kLine; ++i) {
    values[i] = static_cast<float>(codes[i]) * scale[kEach ? i : 0];
    if constexpr (Block::kOffset) values[i] += offset[kEach ? i : 0];
  }
  if constexpr (kFinite) {
    round_line(to, values);
  } else {
    for (int i = 0; i < kLine; ++i) to[i] = from_float<T>(values[i]);
  }
}

template <int kWidth, int kCount>
[[gnu::always_inline]] inline void spread(float* to, const float (&of_group)[kCount]) {
  for (int g = 0; g < kCount; ++g)
    for (int i = 0; i < kWidth; ++i) to[g * kWidth + i] = of_group[g];
}

template <typename Block, bool kFinite, typename T>
[[gnu::always_inline]] inline void decode_block(T* to, const std::int8_t* codes, const Groups<Block>& groups) {
  constexpr int kWidth = Groups<Block>::kWidth;
  if constexpr (kWidth < kLine) {
    alignas(64) float scale[Block::kValues], offset[Block::kValues];
    spread<kWidth>(scale, groups.scale);
    if constexpr (Block::kOffset) spread<kWidth>(offset, groups.offset);
    for (int i = 0; i < Block::kValues; i += kLine)
      decode_line<Block, kFinite, true>(to + i, codes + i, scale + i, offset + i);
  } else {
    for (int i = 0; i < Block::kValues; i += kLine)
      decode_line<Block, kFinite, false>(to + i, codes + i, groups.scale + i / kWidth, groups.offset + i / kWidth);
  }
}

template <typename Block, int kBlocks, typename T>
[[gnu::flatten]] void decode_blocks(T* to, const std::byte* from) {
  alignas(64) std::int8_t codes[kBlocks * Block::kValues];
  for (int b = 0; b < kBlocks; ++b)
    unpack<Block>(codes + b * Block::kValues, from + b * Block::kBytes,
                  std::make_integer_sequence<int, Block::kValues / Block::kRun>{});
  for (int b = 0; b < kBlocks; ++b) {
    const Groups<Block> groups(from + b * Block::kBytes);
    const int first = b * Block::kValues;
    if (groups.finite)
      decode_block<Block, true>(to + first, codes + first, groups);
    else
      decode_block<Block, false>(to + first, codes + first, groups);
  }
}

}  // namespace

void dequantize_ggml(Tensor y, const PackedTensor& w) {
  ggml::with_block(w.format.codec, [&]<typename Block>(std::type_identity<Block>) {
    with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
      constexpr int kBlocks = kAtOnce / Block::kValues;
      const std::int64_t n = y.numel(), whole = n / kAtOnce;
      T* const out = y.as<T>();
      const std::byte* const from = w.sections[0];
#pragma omp parallel for schedule(static) if (n > kParallelValues)
      for (std::int64_t c = 0; c < whole; ++c)
        decode_blocks<Block, kBlocks>(out + c * kAtOnce, from + c * kBlocks * Block::kBytes);
      for (std::int64_t b = whole * kBlocks; b < n / Block::kValues; ++b)
        decode_blocks<Block, 1>(out + b * Block::kValues, from + b * Block::kBytes);
    });
  });
}

}  // namespace shardlora::cpu
