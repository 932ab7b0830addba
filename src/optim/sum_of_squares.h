// In which order the squares of a block of kElementBlock f32 values are added, on every backend: a sum's bits follow
// from its order, and a step's norm must not follow from where its gradients lie.
//
// Lane l of 1024 adds the squares of values l, l + 1024, l + 2048 and l + 3072, in this order; then lanes are folded by
// halves: the first 512 add the last 512, then 256, down to one. What lies behind the end of a tensor counts as 0.
// Products and sums round one by one. So a thread of 256 has four lanes, neighbours that it loads together, and a CPU's
// vectors have as many lanes as they are wide.
#pragma once

#include "base/host_device.h"
#include "tensor/pages.h"

namespace shardlora {

inline constexpr int kSquareLanes = 1024, kSquaresOfLane = static_cast<int>(kElementBlock) / kSquareLanes;
static_assert(kSquareLanes * kSquaresOfLane == kElementBlock);

// x[0] becomes the sum of all, folded by halves. The folds of 1024 lanes are those of eight times 128, then of these.
// Real: a float, one that rounds like it (backend/cuda/separate.h), or a vector of floats.
template <int kCount, typename Real>
HOST_DEVICE inline void fold_by_halves(Real (&x)[kCount]) {
  static_assert((kCount & (kCount - 1)) == 0);
  for (int half = kCount / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) x[i] += x[i + half];
}

}  // namespace shardlora
