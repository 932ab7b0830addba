// Packed weights to values: value i = level(code i) * absmax(i / block), in f32, rounded to what the format says, then
// to y; with double quantisation absmax(b) = map(code b) * nested(b / 256) + offset. Bit for bit nf4_decode() of
// quant/nf4.h, rounded to y.
//
// A thread decodes a few runs that fill 16 bytes of y each: the codes of a warp's runs lie side by side, and so do its
// stores. Sixteen levels lie in sixteen banks of shared memory, so a look-up never waits for another lane's.
#include <bit>

#include "backend/cuda/kernels.h"
#include "backend/cuda/level_tables.h"
#include "backend/cuda/separate.h"
#include "backend/cuda/vector.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

namespace {

constexpr int kRuns = 4;  // of a thread

struct Nf4 {
  const std::byte* codes;
  const std::byte* absmax;  // f32, or u8 with double quantisation
  const float* group_absmax;
  const Nf4Nested* nested;
};

// The tables of a block's threads. All of them take part in making it.
template <bool kNested>
struct Tables {
  const float *levels, *map;
  float offset;

  __device__ __forceinline__ explicit Tables(const Nf4& w) : offset(kNested ? w.nested->offset : 0.0F) {
    __shared__ float memory[kNf4Levels + (kNested ? kDynamicLevels : 0)];
    if (threadIdx.x < kNf4Levels) memory[threadIdx.x] = kNf4Table[threadIdx.x];
    if constexpr (kNested) {
      static_assert(kThreads == kDynamicLevels);
      memory[kNf4Levels + threadIdx.x] = w.nested->map[threadIdx.x];
    }
    __syncthreads();
    levels = memory;
    map = memory + kNf4Levels;
  }

  __device__ __forceinline__ float absmax(const Nf4& w, std::int64_t b) const {
    if constexpr (kNested)
      return (Separate(map[static_cast<unsigned>(w.absmax[b])]) * w.group_absmax[b / kNestedBlock] + offset).value;
    else
      return reinterpret_cast<const float*>(w.absmax)[b];
  }
};

// The first value of a byte is its high nibble; a word holds its first byte in its low bits.
constexpr int shift_of(int value) { return value / 2 * 8 + (value % 2 == 0 ? 4 : 0); }

// Of a code, rounded to what the format says. Rounded is float where that is f32, or y's own dtype.
template <typename Rounded>
__device__ __forceinline__ float value_of(float level, float absmax) {
  return as_float(rounded<Rounded>(level * absmax));
}

// Blocks of 2^shift values, at least as many as a run.
template <typename T, typename Rounded, bool kNested>
__global__ void __launch_bounds__(kThreads) decode_runs_kernel(T* y, Nf4 w, int shift, std::int64_t n) {
  constexpr int kRun = kWidth<T>;
  using Word = std::conditional_t<kRun == 8, std::uint32_t, std::uint16_t>;
  const Tables<kNested> tables(w);
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kThreads * kRuns * kRun + threadIdx.x * kRun;
  unsigned words[kRuns] = {};
  float absmax[kRuns] = {};
#pragma unroll
  for (int r = 0; r < kRuns; ++r) {
    const std::int64_t i = begin + r * kThreads * kRun;
    if (i + kRun <= n)
      words[r] = *reinterpret_cast<const Word*>(w.codes + i / 2);
    else
      for (std::int64_t k = i / 2; k < (n + 1) / 2; ++k)
        words[r] |= static_cast<unsigned>(w.codes[k]) << (8 * static_cast<unsigned>(k - i / 2));
    if (i < n) absmax[r] = tables.absmax(w, i >> shift);
  }
#pragma unroll
  for (int r = 0; r < kRuns; ++r) {
    const std::int64_t i = begin + r * kThreads * kRun;
    float values[kRun];
#pragma unroll
    for (int k = 0; k < kRun; ++k)
      values[k] = value_of<Rounded>(tables.levels[(words[r] >> shift_of(k)) & 15U], absmax[r]);
    store(y + i, values, n - i, true);
  }
}

// Any even block, any alignment: a byte a thread.
template <typename T, typename Rounded, bool kNested>
__global__ void __launch_bounds__(kThreads) decode_bytes_kernel(T* y, Nf4 w, int block, std::int64_t n) {
  const Tables<kNested> tables(w);
  const std::int64_t i = run_begin(2);
  if (i >= n) return;
  const float absmax = tables.absmax(w, i / block);
  const auto byte = static_cast<unsigned>(w.codes[i / 2]);
  y[i] = rounded<T>(value_of<Rounded>(tables.levels[byte >> 4U], absmax));
  if (i + 1 < n) y[i + 1] = rounded<T>(value_of<Rounded>(tables.levels[byte & 15U], absmax));
}

template <typename T, typename Rounded, bool kNested>
void decode(Tensor y, const Nf4& w, int block, cudaStream_t stream) {
  constexpr int kRun = kWidth<T>;
  const std::int64_t n = y.numel();
  const auto size = static_cast<unsigned>(block);
  if (std::has_single_bit(size) && block >= kRun && aligned(y.data, w.codes))
    launch(decode_runs_kernel<T, Rounded, kNested>, blocks_for(n, kThreads * kRuns * kRun), kThreads, 0, stream, y.as<T>(), w,
           std::countr_zero(size), n);
  else
    launch(decode_bytes_kernel<T, Rounded, kNested>, blocks_for(n, kThreads * 2), kThreads, 0, stream, y.as<T>(), w, block, n);
}

}  // namespace

void dequantize(Tensor y, const PackedTensor& packed, cudaStream_t stream) {
  if (packed.format.dense()) return cast(y, packed.dense(), stream);
  if (packed.format.codec != Codec::kNF4) return dequantize_ggml(y, packed, stream);
  const auto& sections = packed.sections;
  const Nf4 w{sections[0], sections[1], reinterpret_cast<const float*>(sections[2]),
              reinterpret_cast<const Nf4Nested*>(sections[3])};
  with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
    with_float_type(packed.format.rounded_to, [&]<typename To>(std::type_identity<To>) {
      using Rounded = std::conditional_t<std::is_same_v<To, T>, float, To>;
      if (packed.format.double_quant)
        decode<T, Rounded, true>(y, w, packed.format.block, stream);
      else
        decode<T, Rounded, false>(y, w, packed.format.block, stream);
    });
  });
}

}  // namespace shardlora::cuda
