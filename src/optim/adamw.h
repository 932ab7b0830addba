// AdamW on one value, in torch.optim.AdamW's order of operations: decay first, then the moments, then the step
// (Loshchilov & Hutter, "Decoupled weight decay regularization", 2019).
#pragma once

#include <cmath>
#include <cstdint>

#include "base/host_device.h"

namespace shardlora {

// What a step shares over all values. Made once a step, in double on the host.
struct AdamWStep {
  float rest1, beta2,
      rest2;  // 1 - beta1, beta2, 1 - beta2; rounded last, as torch does: 1 - 0.999F would be 1.3e-5 off
  float epsilon;
  float decay;       // 1 - learning_rate * weight_decay
  float step_size;   // learning_rate / (1 - beta1^t)
  float root_bias2;  // sqrt(1 - beta2^t)
};

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.0;
};

// t counts from 1.
inline AdamWStep adamw_step(const AdamWOptions& options, double learning_rate, std::int64_t t) {
  const double correction1 = 1.0 - std::pow(options.beta1, static_cast<double>(t));
  const double correction2 = 1.0 - std::pow(options.beta2, static_cast<double>(t));
  return {static_cast<float>(1.0 - options.beta1),
          static_cast<float>(options.beta2),
          static_cast<float>(1.0 - options.beta2),
          static_cast<float>(options.epsilon),
          static_cast<float>(1.0 - learning_rate * options.weight_decay),
          static_cast<float>(learning_rate / correction1),
          static_cast<float>(std::sqrt(correction2))};
}

// Real: float, or a type of a backend that rounds as float does without being joined into other operations.
template <typename Real>
HOST_DEVICE inline void adamw(Real& value, Real& m, Real& v, Real gradient, const AdamWStep& s) {
  using std::sqrt;
  value *= s.decay;
  m += (gradient - m) * s.rest1;
  v = v * s.beta2 + gradient * gradient * s.rest2;
  value -= s.step_size * (m / (sqrt(v) / s.root_bias2 + s.epsilon));
}

}  // namespace shardlora
