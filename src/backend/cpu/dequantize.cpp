// Packed weights to values. A block of NF4 shares its absmax, so the sixteen products level * absmax are made once a block,
// rounded once, and every value is then a look-up in a register. Bit for bit nf4_decode() of quant/nf4.h, rounded to y.
#include "backend/cpu/float_type.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/lanes.h"
#include "quant/nf4.h"

namespace shardlora::cpu {

namespace {

constexpr std::int64_t kCodesAtOnce = 32;  // sixteen bytes

[[gnu::always_inline]] inline void load_bytes(IntLanes& lanes, const std::byte* from) {
  typedef std::uint8_t Bytes __attribute__((vector_size(16)));
  Bytes bytes;
  load(bytes, from);
  lanes = __builtin_convertvector(bytes, IntLanes);
}

// The values of the 32 codes in `from`; levels: the sixteen products.
[[gnu::always_inline]] inline void look_up(float* to, const std::byte* from, const float* levels) {
  constexpr IntLanes kFirst = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
  constexpr IntLanes kSecond = {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  FloatLanes table;
  IntLanes bytes;
  load(table, levels);
  load_bytes(bytes, from);
  const FloatLanes even = __builtin_shuffle(table, bytes >> 4U), odd = __builtin_shuffle(table, bytes & 15U);
  store(to, __builtin_shuffle(even, odd, kFirst));
  store(to + kLanes, __builtin_shuffle(even, odd, kSecond));
}

// The same for 16-bit values: a 32-bit lane takes both codes of a byte as two 16-bit indices.
[[gnu::always_inline]] inline void look_up(BF16* to, const std::byte* from, const BF16* levels) {
  HalfLanes table{};
  IntLanes bytes;
  std::memcpy(&table, levels, kNf4Levels * sizeof(BF16));
  load_bytes(bytes, from);
  const IntLanes pairs = (bytes >> 4U) | ((bytes & 15U) << 16U);
  HalfLanes indices;
  load(indices, &pairs);
  store(to, __builtin_shuffle(table, indices));
}

// Values [begin, end) of one block, begin even.
template <typename T>
void decode_block(T* to, const std::byte* codes, std::int64_t begin, std::int64_t end, float absmax) {
  alignas(64) T levels[kNf4Levels];
#pragma omp simd
  for (std::size_t c = 0; c < kNf4Levels; ++c) levels[c] = from_float<T>(kNf4Values[c] * absmax);
  std::int64_t i = begin;
  for (; i + kCodesAtOnce <= end; i += kCodesAtOnce) look_up(to + i, codes + i / 2, levels);
  for (; i < end; ++i) to[i] = levels[nf4_code_at(codes, i)];
}

}  // namespace

void dequantize(Tensor y, const PackedTensor& w) {
  if (w.format.dense()) return cast(y, w.dense());
  with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = y.numel(), block = w.format.block, blocks = (n + block - 1) / block;
    T* out = y.as<T>();
#pragma omp parallel for schedule(static) if (n > kParallelValues)
    for (std::int64_t b = 0; b < blocks; ++b)
      decode_block(out, w.sections[0], b * block, std::min(n, (b + 1) * block), nf4_absmax(w, b));
  });
}

}  // namespace shardlora::cpu
