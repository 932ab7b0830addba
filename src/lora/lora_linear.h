// A frozen linear with what an adapter adds to it: y = x W^T + bias + s (drop(x) A^T) B^T.
#pragma once

#include <optional>
#include <vector>

#include "backend/ops.h"

namespace shardlora {

// All but the weight, which may be there for one product only.
struct LoraLinear {
  ConstTensor bias;  // (out) f32, frozen; empty where the model has none
  ConstTensor a, b;  // (r, in), (out, r); empty without an adapter
  Tensor da, db;     // f32 gradients; empty unless training
  float scale = 0;   // alpha / r, or alpha / sqrt(r)

  float dropout = 0;
  std::optional<Noise> noise;  // of the mask; without it nothing is dropped

  bool drops() const { return adapted() && noise && dropout > 0; }
  bool adapted() const { return static_cast<bool>(a); }
};

// `spare` (N, in) is scratch of a linear that drops; else it may be empty.

// xa (N, r) = s drop(x) A^T, which backward needs.
void project_down(Ops& ops, Tensor xa, ConstTensor x, const LoraLinear& linear, Tensor spare);
// y (N, out), weight (out, in). xa is kept for backward.
void forward(Ops& ops, Tensor y, Tensor xa, ConstTensor x, ConstTensor weight, const LoraLinear& linear, Tensor spare);

// dx (N, in) [+]= the gradient of x. dxa (N, r) = s dy B is kept for the gradients.
void backward(Ops& ops, Tensor dx, Tensor dxa, ConstTensor dy, ConstTensor weight, const LoraLinear& linear,
              Accumulate accumulate, Tensor spare);

// Adds the two products that give da and db to `jobs`; x, xa, dy and dxa as above. `spare` has to live until they ran.
void gradients(Ops& ops, std::vector<WeightGradient>& jobs, const LoraLinear& linear, ConstTensor x, ConstTensor xa,
               ConstTensor dy, ConstTensor dxa, Tensor spare);

}  // namespace shardlora
