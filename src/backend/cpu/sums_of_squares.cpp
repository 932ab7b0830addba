// Sums of squares for the gradient norm, in the order of optim/sum_of_squares.h.
#include "optim/sum_of_squares.h"

#include <algorithm>

#include "backend/cpu/kernels.h"
#include "backend/cpu/lanes.h"

namespace shardlora::cpu {
namespace {

// Lanes of the order become eighths: 1024 are folded to 128, which are eight vectors, and these to one.
constexpr int kFolded = 8, kFoldedLanes = kSquareLanes / kFolded;
static_assert(kFoldedLanes == kFolded * kLanes);

// Of kElementBlock values.
[[gnu::always_inline]] inline float sum_of_block(const float* x) {
  FloatLanes columns[kFolded];
  for (int c = 0; c < kFolded; ++c) {
    FloatLanes lanes[kFolded];
#pragma GCC unroll 8
    for (int l = 0; l < kFolded; ++l) {
      const float* from = x + l * kFoldedLanes + c * kLanes;
      load(lanes[l], from);
      lanes[l] *= lanes[l];
#pragma GCC unroll 4
      for (int k = 1; k < kSquaresOfLane; ++k) {
        FloatLanes values;
        load(values, from + k * kSquareLanes);
        lanes[l] += values * values;
      }
    }
    fold_by_halves(lanes);
    columns[c] = lanes[0];
  }
  fold_by_halves(columns);
  float last[kLanes];
  store(last, columns[0]);
  fold_by_halves(last);
  return last[0];
}

}  // namespace

void sums_of_squares(Tensor sums, ConstTensor x) {
  const std::int64_t n = x.numel(), blocks = sums.numel(), whole = n / kElementBlock;
  const float* values = x.as<float>();
  float* out = sums.as<float>();
#pragma omp parallel for schedule(static) if (n > kParallelValues)
  for (std::int64_t b = 0; b < whole; ++b) out[b] = sum_of_block(values + b * kElementBlock);
  if (whole < blocks) {
    float padded[kElementBlock];
    std::fill(std::copy(values + whole * kElementBlock, values + n, padded), padded + kElementBlock, 0.0F);
    out[whole] = sum_of_block(padded);
  }
}

}  // namespace shardlora::cpu
