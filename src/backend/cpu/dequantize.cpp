// Packed weights to values. A block of NF4 shares its absmax, so the sixteen products level * absmax are made once a
// block, rounded, and every value is then a look-up in a register. Bit for bit nf4_decode() of quant/nf4.h,
// rounded to y.
#include "backend/cpu/kernels.h"
#include "backend/cpu/lanes.h"
#include "backend/float_type.h"
#include "quant/nf4.h"

namespace shardlora::cpu {

namespace {

constexpr std::int64_t kCodesAtOnce = 32;  // sixteen bytes

// Bytes that a look-up loads, of which it takes the first sixteen: gcc 12 sends every narrower load through the stack.
constexpr std::int64_t kBytesRead = 64;

// The low bits of lane i are byte i of `from`; other bytes stand above them.
[[gnu::always_inline]] inline void load_bytes(IntLanes& lanes, const std::byte* from) {
  constexpr IntLanes kWord = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
  constexpr IntLanes kShift = {0, 8, 16, 24, 0, 8, 16, 24, 0, 8, 16, 24, 0, 8, 16, 24};
  IntLanes words;
  load(words, from);
  shuffle(lanes, words, kWord);
  lanes >>= kShift;
}

// to_bf16() on lanes.
[[gnu::always_inline]] inline void round_lanes(IntLanes& bits, const FloatLanes& values, std::type_identity<BF16>) {
  load(bits, &values);
  const IntLanes is_nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;  // all ones where true
  bits = (((bits >> 16U) | 0x40U) & is_nan) | (((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U) & ~is_nan);
}

[[gnu::always_inline]] inline void round_lanes(IntLanes& bits, const FloatLanes& values, std::type_identity<F16>) {
  alignas(64) std::uint32_t rounded[kLanes];
#pragma omp simd
  for (int i = 0; i < kLanes; ++i) rounded[i] = to_f16(values[i]).bits;
  load(bits, rounded);
}

// The sixteen values of a block and the look-up of 32 codes among them, one vector register as a table.
struct FloatTable {
  [[gnu::always_inline]] FloatTable(float absmax, DType rounded_to) {
    load(values, kNf4Values.data());
    values *= absmax;
    if (rounded_to == DType::kBF16) {
      IntLanes bits;
      round_lanes(bits, values, std::type_identity<BF16>{});
      bits <<= 16U;
      load(values, &bits);
    } else if (rounded_to == DType::kF16) {
      for (int i = 0; i < kLanes; ++i) values[i] = to_float(to_f16(values[i]));
    }
  }
  [[gnu::always_inline]] void look_up(float* to, const std::byte* from) const {
    IntLanes bytes;
    load_bytes(bytes, from);
    FloatLanes even, odd;
    shuffle(even, values, bytes >> 4U);
    shuffle(odd, values, bytes & 15U);
    store(to, __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    store(to + kLanes,
          __builtin_shufflevector(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
  }
  [[gnu::always_inline]] float operator[](std::uint8_t code) const { return values[code]; }
  FloatLanes values;
};

// T is one of the 16-bit types.
template <typename T>
struct HalfTable {
  [[gnu::always_inline]] HalfTable(float absmax, DType rounded_to) {
    round_lanes(bits, FloatTable(absmax, rounded_to).values, std::type_identity<T>{});
  }
  // A 32-bit lane takes both values of a byte: the first one lies in its low half.
  [[gnu::always_inline]] void look_up(T* to, const std::byte* from) const {
    IntLanes bytes, first, second;
    load_bytes(bytes, from);
    shuffle(first, bits, bytes >> 4U);
    shuffle(second, bits, bytes & 15U);
    store(to, first | second << 16U);
  }
  [[gnu::always_inline]] T operator[](std::uint8_t code) const { return {static_cast<std::uint16_t>(bits[code])}; }
  IntLanes bits;
};

// Values [begin, end) of one block, begin even. readable: bytes of `codes`.
template <typename T>
[[gnu::always_inline]] inline void decode_block(T* to, const std::byte* codes, std::int64_t readable,
                                                std::int64_t begin, std::int64_t end, float absmax, DType rounded_to) {
  const std::conditional_t<std::is_same_v<T, float>, FloatTable, HalfTable<T>> table(absmax, rounded_to);
  const std::int64_t wide = std::min(end, 2 * (readable - kBytesRead) + kCodesAtOnce);
  std::int64_t i = begin;
  for (; i + kCodesAtOnce <= wide; i += kCodesAtOnce) table.look_up(to + i, codes + i / 2);
  for (; i < end; ++i) to[i] = table[nf4_code_at(codes, i)];
}

}  // namespace

void dequantize(Tensor y, const PackedTensor& w) {
  if (w.format.dense()) return cast(y, w.dense());
  if (w.format.codec != Codec::kNF4) return dequantize_ggml(y, w);
  with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = y.numel(), block = w.format.block, blocks = (n + block - 1) / block, readable = (n + 1) / 2;
    T* out = y.as<T>();
    const std::byte* codes = w.sections[0];
    const PackedTensor packed = w;
#pragma omp parallel for schedule(static) if (n > kParallelValues) firstprivate(packed)
    for (std::int64_t b = 0; b < blocks; ++b)
      decode_block(out, codes, readable, b * block, std::min(n, (b + 1) * block), nf4_absmax(packed, b),
                   packed.format.rounded_to);
  });
}

}  // namespace shardlora::cpu
