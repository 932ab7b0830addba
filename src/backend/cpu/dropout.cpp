// dropout and add_noise: random values that are a function of where they are used and of nothing else.
//
// A Philox block of 128 bits, with counter (block, position, sample, place), serves 8 columns of dropout, 16 bits each,
// or 4 columns of noise, 32 bits each. Blocks are made kLanes at a time, so that the rounds run in vector registers.
#include <cmath>
#include <cstring>

#include "backend/cpu/kernels.h"
#include "backend/float_type.h"

namespace shardlora::cpu {
namespace {

constexpr std::int64_t kLanes = 16;
constexpr std::int64_t kDropoutColumns = 8 * kLanes, kNoiseColumns = 4 * kLanes;

// words[4 b + i] = word i of block first + b.
void blocks(std::uint32_t* words, PhiloxKey key, std::uint32_t first, std::uint32_t position, std::uint32_t sample,
            std::uint32_t place) {
  std::uint32_t x[kLanes], y[kLanes], z[kLanes], w[kLanes];
#pragma omp simd
  for (std::uint32_t b = 0; b < kLanes; ++b) {
    const PhiloxBlock block = philox(key, {first + b, position, sample, place});
    x[b] = block.v[0];
    y[b] = block.v[1];
    z[b] = block.v[2];
    w[b] = block.v[3];
  }
  for (std::int64_t b = 0; b < kLanes; ++b) {
    words[4 * b] = x[b];
    words[4 * b + 1] = y[b];
    words[4 * b + 2] = z[b];
    words[4 * b + 3] = w[b];
  }
}

}  // namespace

void dropout(Tensor y, ConstTensor x, const Noise& noise, float p, Accumulate accumulate) {
  const std::int64_t n = x.dim(0), d = x.dim(1);
  const auto dropped = static_cast<std::uint32_t>(std::lround(p * 65536.0F));
  const float scale = 65536.0F / static_cast<float>(65536U - dropped);
  const auto *samples = noise.samples.as<std::int32_t>(), *positions = noise.positions.as<std::int32_t>();
  const bool add = accumulate == Accumulate::kYes;
  with_float_type(x.dtype, [&]<typename T>(std::type_identity<T>) {
    T* out = y.as<T>();
    const T* in = x.as<T>();
#pragma omp parallel for schedule(static) if (n * d > kParallelValues)
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t begin = 0; begin < d; begin += kDropoutColumns) {
        std::uint32_t words[4 * kLanes];
        blocks(words, noise.key, static_cast<std::uint32_t>(begin / 8), static_cast<std::uint32_t>(positions[i]),
               static_cast<std::uint32_t>(samples[i]), noise.place);
        std::uint16_t draws[kDropoutColumns];  // the low half of a word first
        std::memcpy(draws, words, sizeof words);
        const std::int64_t count = std::min(kDropoutColumns, d - begin);
        T* to = out + i * d + begin;
        const T* from = in + i * d + begin;
        if (add) {
#pragma omp simd
          for (std::int64_t k = 0; k < count; ++k)
            to[k] = from_float<T>(to_float(to[k]) + (draws[k] >= dropped ? to_float(from[k]) * scale : 0.0F));
        } else {
#pragma omp simd
          for (std::int64_t k = 0; k < count; ++k)
            to[k] = from_float<T>(draws[k] >= dropped ? to_float(from[k]) * scale : 0.0F);
        }
      }
    }
  });
}

void add_noise(Tensor x, const Noise& noise, ConstTensor bounds, float alpha) {
  const std::int64_t d = x.dim(1), count = bounds.dim(0) - 1;
  const auto *samples = noise.samples.as<std::int32_t>(), *positions = noise.positions.as<std::int32_t>();
  const auto* bound = bounds.as<std::int32_t>();
  with_float_type(x.dtype, [&]<typename T>(std::type_identity<T>) {
    for (std::int64_t s = 0; s < count; ++s) {
      const float size = static_cast<float>(bound[s + 1] - bound[s]) * static_cast<float>(d);
      const float amplitude = alpha / std::sqrt(size);
#pragma omp parallel for schedule(static) if (size > kParallelValues)
      for (std::int32_t i = bound[s]; i < bound[s + 1]; ++i) {
        for (std::int64_t begin = 0; begin < d; begin += kNoiseColumns) {
          std::uint32_t words[4 * kLanes];
          blocks(words, noise.key, static_cast<std::uint32_t>(begin / 4), static_cast<std::uint32_t>(positions[i]),
                 static_cast<std::uint32_t>(samples[i]), noise.place);
          const std::int64_t columns = std::min(kNoiseColumns, d - begin);
          T* to = x.as<T>() + i * d + begin;
#pragma omp simd
          for (std::int64_t k = 0; k < columns; ++k)
            to[k] = from_float<T>(to_float(to[k]) + amplitude * (2.0F * uniform(words[k]) - 1.0F));
        }
      }
    }
  });
}

}  // namespace shardlora::cpu
