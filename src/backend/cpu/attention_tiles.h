// What attention forward and backward share: blocks of query rows inside samples, and tiles copied out of (N, heads,
// D). Scores are kept transposed, keys down and queries across, so that a softmax runs along lanes: one lane, one
// query.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cpu/kernels.h"
#include "backend/cpu/lanes.h"
#include "tensor/tensor.h"

namespace shardlora::cpu {

inline constexpr std::int64_t kTile = 64;  // rows of a tile of queries or keys

inline std::int64_t whole_lanes(std::int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Rows [begin, end) of the micro-batch, all of one sample, which starts at row `sample`.
struct QueryBlock {
  std::int64_t sample, begin, end;
};

// The samples of `bounds`, cut into blocks of up to kTile query rows.
class QueryBlocks {
 public:
  explicit QueryBlocks(ConstTensor bounds) : bounds_(bounds.as<std::int32_t>()), samples_(bounds.dim(0) - 1) {}
  std::int64_t count() const {
    std::int64_t blocks = 0;
    for (std::int64_t s = 0; s < samples_; ++s) blocks += in_sample(s);
    return blocks;
  }
  QueryBlock operator[](std::int64_t index) const {
    std::int64_t s = 0;
    for (; index >= in_sample(s); ++s) index -= in_sample(s);
    const std::int64_t begin = bounds_[s] + index * kTile;
    return {bounds_[s], begin, std::min<std::int64_t>(begin + kTile, bounds_[s + 1])};
  }

 private:
  std::int64_t in_sample(std::int64_t s) const { return (bounds_[s + 1] - bounds_[s] + kTile - 1) / kTile; }
  const std::int32_t* bounds_;
  std::int64_t samples_;
};

// Throws unless bounds ascend from 0 to n: a wrong one would write anywhere.
inline void check_bounds(ConstTensor bounds, std::int64_t n) {
  const auto* b = bounds.as<std::int32_t>();
  const std::int64_t samples = bounds.dim(0) - 1;
  bool ascending = b[0] == 0 && b[samples] == n;
  for (std::int64_t s = 0; s < samples; ++s) ascending = ascending && b[s] <= b[s + 1];
  CHECK(ascending, "sample bounds must ascend from 0 to {} rows", n);
}

// to (rows, width) = rows of `from` that lie `stride` values apart; columns d .. width - 1 are zeroed.
template <typename T>
void load_tile(float* __restrict to, std::int64_t width, const T* __restrict from, std::int64_t stride,
               std::int64_t rows, std::int64_t d) {
  for (std::int64_t r = 0; r < rows; ++r) {
#pragma omp simd
    for (std::int64_t k = 0; k < d; ++k) to[r * width + k] = to_float(from[r * stride + k]);
    for (std::int64_t k = d; k < width; ++k) to[r * width + k] = 0.0F;
  }
}

// to (d, kTile) = factor * the transpose of rows of `from`; lanes rows .. are zeroed up to a whole register.
template <typename T>
void load_transposed(float* __restrict to, const T* __restrict from, std::int64_t stride, std::int64_t rows,
                     std::int64_t d, float factor) {
  const std::int64_t lanes = whole_lanes(rows);
  for (std::int64_t k = 0; k < d; ++k) {
    for (std::int64_t r = 0; r < rows; ++r) to[k * kTile + r] = to_float(from[r * stride + k]) * factor;
    for (std::int64_t r = rows; r < lanes; ++r) to[k * kTile + r] = 0.0F;
  }
}

}  // namespace shardlora::cpu
