// dropout and add_noise: random values that are a function of where they are used and of nothing else. A Philox block
// of 128 bits, with counter (block, position, sample, place), serves 8 columns of dropout, 16 bits each, or 4 columns
// of noise, 32 bits each. The CPU's bits: products and sums round separately, as they do there.
#include <cmath>

#include "backend/cuda/kernels.h"
#include "backend/cuda/separate.h"
#include "backend/cuda/vector.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

namespace {

constexpr int kDropoutColumns = 8, kNoiseColumns = 4;

struct Draws {
  PhiloxKey key;
  const std::int32_t *samples, *positions;
  std::uint32_t place;

  __device__ __forceinline__ PhiloxBlock block(std::int64_t row, std::int64_t index) const {
    return philox(key, {static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(positions[row]),
                        static_cast<std::uint32_t>(samples[row]), place});
  }
};

Draws draws(const Noise& noise) {
  return {noise.key, noise.samples.as<std::int32_t>(), noise.positions.as<std::int32_t>(), noise.place};
}

template <typename T>
__global__ void dropout_kernel(T* y, const T* x, Draws draws, std::uint32_t dropped, float scale, bool accumulate,
                               std::int64_t d, unsigned parts, bool vectors) {
  const RowPlace place(parts, kDropoutColumns);
  const std::int64_t k0 = place.column, at = place.row * d + k0;
  if (k0 >= d) return;
  const PhiloxBlock block = draws.block(place.row, k0 / kDropoutColumns);
  float values[kDropoutColumns], before[kDropoutColumns];
  load(values, x + at, d - k0, vectors);
  if (accumulate) load(before, y + at, d - k0, vectors);
#pragma unroll
  for (int k = 0; k < kDropoutColumns; ++k) {
    const std::uint32_t draw = k % 2 == 0 ? block.v[k / 2] & 0xFFFFU : block.v[k / 2] >> 16U;
    const Separate kept = draw >= dropped ? Separate(values[k]) * scale : 0.0F;
    values[k] = accumulate ? (before[k] + kept).value : kept.value;
  }
  store(y + at, values, d - k0, vectors);
}

// The sample whose rows in `bounds` hold `row`; -1: none.
__device__ std::int64_t sample_of(const std::int32_t* bounds, std::int64_t samples, std::int64_t row) {
  if (row < bounds[0] || row >= bounds[samples]) return -1;
  std::int64_t low = 0, high = samples;  // bounds[low] <= row < bounds[high]
  while (high - low > 1) {
    const std::int64_t middle = (low + high) / 2;
    if (bounds[middle] <= row)
      low = middle;
    else
      high = middle;
  }
  return low;
}

template <typename T>
__global__ void add_noise_kernel(T* x, Draws draws, const std::int32_t* bounds, std::int64_t samples, float alpha,
                                 std::int64_t d, unsigned parts, bool vectors) {
  const RowPlace place(parts, kNoiseColumns);
  const std::int64_t k0 = place.column, at = place.row * d + k0, s = sample_of(bounds, samples, place.row);
  if (s < 0 || k0 >= d) return;
  const Separate size = Separate(static_cast<float>(bounds[s + 1] - bounds[s])) * static_cast<float>(d);
  const Separate amplitude = alpha / sqrt(size);
  const PhiloxBlock block = draws.block(place.row, k0 / kNoiseColumns);
  float values[kNoiseColumns];
  load(values, x + at, d - k0, vectors);
#pragma unroll
  for (int k = 0; k < kNoiseColumns; ++k)
    values[k] = (values[k] + amplitude * (2.0F * uniform(block.v[k]) - 1.0F)).value;
  store(x + at, values, d - k0, vectors);
}

}  // namespace

void dropout(Tensor y, ConstTensor x, const Noise& noise, float p, Accumulate accumulate, cudaStream_t stream) {
  const std::int64_t d = x.dim(1);
  const auto dropped = static_cast<std::uint32_t>(std::lround(p * 65536.0F));
  const float scale = 65536.0F / static_cast<float>(65536U - dropped);
  const RowGrid grid(x.dim(0), d, kDropoutColumns);
  with_float_type(x.dtype, [&]<typename T>(std::type_identity<T>) {
    launch(dropout_kernel<T>, grid.blocks, grid.threads, 0, stream, y.as<T>(), x.as<T>(), draws(noise), dropped, scale,
           accumulate == Accumulate::kYes, d, grid.parts, aligned(y.data, x.data) && d % kDropoutColumns == 0);
  });
}

void add_noise(Tensor x, const Noise& noise, ConstTensor bounds, float alpha, cudaStream_t stream) {
  const std::int64_t d = x.dim(1);
  const RowGrid grid(x.dim(0), d, kNoiseColumns);
  with_float_type(x.dtype, [&]<typename T>(std::type_identity<T>) {
    launch(add_noise_kernel<T>, grid.blocks, grid.threads, 0, stream, x.as<T>(), draws(noise),
           bounds.as<std::int32_t>(), bounds.dim(0) - 1, alpha, d, grid.parts,
           aligned(x.data) && d % kNoiseColumns == 0);
  });
}

}  // namespace shardlora::cuda
