// The blocks of GGUF files to values: in f32, product and sum rounded one by one, then once to y. Bit for bit what
// quant/ggml.cpp decodes, rounded to y.
//
// 1024 values at once, whatever their blocks hold, in two passes: codes become bytes on the stack, then these become
// values. So loops are not cut where a group of 16 ends, and what the second pass reads was written long enough before
// to be there, however wide it was written.
#include <cmath>
#include <cstring>
#include <utility>

#include "backend/cpu/f16.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/lanes.h"
#include "backend/float_type.h"
#include "quant/ggml_blocks.h"

namespace shardlora::cpu {
namespace {

constexpr int kAtOnce = 1024;
constexpr int kLine = 32;  // values of one pass of a vector loop: what fills the vectors that bytes are unpacked from

// As wide as the vectors that gcc makes of the loops beside it, also where there are wider ones: what these store is
// read at once only in pieces that they wrote.
typedef float EightFloats __attribute__((vector_size(32)));

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

// fifth_bit() of a block's 32 values: each byte of the u32 goes to eight lanes, of which each keeps a bit of its own.
[[gnu::always_inline]] inline void spread_fifth_bits(std::uint8_t (&to)[kLine], const std::byte* bits) {
  typedef std::uint8_t Bytes __attribute__((vector_size(kLine)));
  constexpr Bytes kBit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128,
                          1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  std::byte words[kLine];
  for (int i = 0; i < kLine; i += 4) std::memcpy(words + i, bits, 4);
  Bytes bytes;
  load(bytes, words);
  bytes = __builtin_shufflevector(bytes, bytes, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                  18, 18, 18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19, 19, 19);
  bytes = reinterpret_cast<Bytes>((bytes & kBit) == kBit) & 16;
  store(to, bytes);
}

// Codes fit into a byte with their sign in every block.
template <typename Block, int... r>
[[gnu::always_inline]] inline void unpack(std::int8_t* codes, const std::byte* block,
                                          std::integer_sequence<int, r...>) {
  constexpr bool kFifthBits = requires { Block::kFifthAt; };
  alignas(kLine) std::uint8_t fifth[kLine];
  if constexpr (kFifthBits) spread_fifth_bits(fifth, block + Block::kFifthAt);
  const auto unpack_run = [&]<int run>(std::integral_constant<int, run>) __attribute__((always_inline)) {
    constexpr int kFirst = run * Block::kRun, kGroup = kFirst / Block::kGroup;
#pragma omp simd
    for (int i = 0; i < Block::kRun; ++i) {
      if constexpr (kFifthBits)
        codes[kFirst + i] = static_cast<std::int8_t>(Block::code_with(fifth[kFirst + i], block, kGroup, i));
      else
        codes[kFirst + i] = static_cast<std::int8_t>(Block::code(block, kGroup, i));
    }
  };
  (unpack_run(std::integral_constant<int, r>{}), ...);
}

// kLine values; scale and offset begin with those of the first one's group.
template <typename Block, bool kFinite, typename T>
[[gnu::always_inline]] inline void decode_line(T* to, const std::int8_t* codes, const float* scale,
                                               const float* offset) {
  constexpr int kWidth = Groups<Block>::kWidth, kEight = sizeof(EightFloats) / sizeof(float);
  alignas(64) float values[kLine];
#pragma omp simd
  for (int i = 0; i < kLine; ++i) values[i] = static_cast<float>(codes[i]);
#pragma GCC unroll 4
  for (int i = 0; i < kLine; i += kEight) {
    EightFloats eight;
    load(eight, values + i);
    eight *= scale[i / kWidth];
    if constexpr (Block::kOffset) eight += offset[i / kWidth];
    store(values + i, eight);
  }
  if constexpr (kFinite) {
    round_line(to, values);
  } else {
    for (int i = 0; i < kLine; ++i) to[i] = from_float<T>(values[i]);
  }
}

template <typename Block, bool kFinite, typename T>
[[gnu::always_inline]] inline void decode_block(T* to, const std::int8_t* codes, const Groups<Block>& groups) {
  for (int i = 0; i < Block::kValues; i += kLine) {
    const int g = i / Groups<Block>::kWidth;
    decode_line<Block, kFinite>(to + i, codes + i, groups.scale + g, groups.offset + g);
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
