// A frozen linear with what an adapter adds to it: y = x W^T + bias + s (x A^T) B^T.
#pragma once

#include <vector>

#include "backend/ops.h"

namespace shardlora {

struct LoraLinear {
  ConstTensor weight;  // (out, in)
  ConstTensor bias;    // (out) f32, frozen; empty where the model has none
  ConstTensor a, b;    // (r, in), (out, r); empty without an adapter
  Tensor da, db;       // f32 gradients; empty unless training
  float scale = 0;     // alpha / r

  bool adapted() const { return static_cast<bool>(a); }
};

// y (N, out). xa (N, r) = s x A^T is kept for backward.
void forward(Ops& ops, Tensor y, Tensor xa, ConstTensor x, const LoraLinear& linear);

// dx (N, in) [+]= the gradient of x. dxa (N, r) = s dy B is kept for the gradients.
void backward(Ops& ops, Tensor dx, Tensor dxa, ConstTensor dy, const LoraLinear& linear, Accumulate accumulate);

// Adds the two products that give da and db to `jobs`; x, xa, dy and dxa as above.
void gradients(std::vector<WeightGradient>& jobs, const LoraLinear& linear, ConstTensor x, ConstTensor xa,
               ConstTensor dy, ConstTensor dxa);

}  // namespace shardlora
