// The signed dynamic map of 8-bit blockwise quantisation (Dettmers et al., "8-bit optimizers via block-wise
// quantization", 2021): 256 ascending levels, dense around zero, from -0.99296874 to 1. The second level of double
// quantisation.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/host_device.h"

namespace shardlora {

inline constexpr std::size_t kDynamicLevels = 256;

// Decade i of seven (1e-6 .. 1) holds 2^i values of either sign: the means of neighbours among 2^i + 1 points evenly
// spaced over [0.1, 1]. All in f32, in this order of operations: the bits are part of the format.
constexpr std::array<float, kDynamicLevels> make_dynamic_map() {
  constexpr float kDecades[] = {1e-6F, 1e-5F, 1e-4F, 1e-3F, 1e-2F, 1e-1F, 1.0F};
  std::array<float, kDynamicLevels> map{};
  std::size_t count = 0;
  int means = 1;
  for (const float decade : kDecades) {
    const float step = (1.0F - 0.1F) / static_cast<float>(means);
    // The far half counts down from the end, as linspace does.
    const auto point = [&](int k) {
      return k < (means + 1) / 2 ? 0.1F + step * static_cast<float>(k) : 1.0F - step * static_cast<float>(means - k);
    };
    for (int k = 0; k < means; ++k) {
      const float mean = (point(k) + point(k + 1)) / 2.0F;
      map[count++] = decade * mean;
      map[count++] = -decade * mean;
    }
    means *= 2;
  }
  map[count++] = 0.0F;
  map[count++] = 1.0F;
  std::sort(map.begin(), map.end());
  return map;
}

inline constexpr std::array<float, kDynamicLevels> kDynamicMap = make_dynamic_map();

// Code of x in [-1, 1]: bitsandbytes' search on the GPU, to the last bit. A binary search keeps the last neighbour
// above and below; a tie between levels stays on the one that the search ended on. NaN gives 0. (bitsandbytes' CPU
// backend rounds x to one of 65,536 points first, so its code is the neighbour's where x is that near to the middle of
// two levels.) `map` is kDynamicMap, or a device's copy of it.
HOST_DEVICE constexpr std::uint8_t dynamic_code(float x, const float* map) {
  std::size_t pivot = 127, above = kDynamicLevels - 1, below = 0;
  for (std::size_t step = 64; step > 0; step /= 2) {
    if (x > map[pivot]) {
      below = pivot;
      pivot += step;
    } else {
      above = pivot;
      pivot -= step;
    }
  }
  const float level = map[pivot];
  if (x > level) return static_cast<std::uint8_t>(x > (map[above] + level) / 2.0F ? above : pivot);
  return static_cast<std::uint8_t>(x < (map[below] + level) / 2.0F ? below : pivot);
}

constexpr std::uint8_t dynamic_code(float x) { return dynamic_code(x, kDynamicMap.data()); }

}  // namespace shardlora
