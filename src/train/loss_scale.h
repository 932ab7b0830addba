// What the loss is multiplied by before backward, so that small gradients don't vanish in f16. By the rules of
// PyTorch's torch.amp.GradScaler: from 65536 down by half when a step's gradients overflow, which then updates nothing;
// up to twice as much after 2,000 steps in a row that did not. A power of two, so that taking it out again changes no
// bit. Whether a step overflowed is seen in its gradients' norm, which all ranks have: they all decide the same.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace shardlora {

class LossScale {
 public:
  static constexpr double kStart = 65536, kMost = 0x1p126;  // 1 / kMost is still a normal f32
  static constexpr std::int64_t kInterval = 2000;

  // 1 for ever: bf16 and f32 have the range that gradients need.
  LossScale() = default;
  // `start`: a power of two, at least 1. `interval`: good steps before it grows.
  static LossScale dynamic(double start = kStart, std::int64_t interval = kInterval) { return {start, interval}; }
  static LossScale for_dtype(DType dtype) { return dtype == DType::kF16 ? dynamic() : LossScale(); }

  double value() const { return value_; }
  bool is_dynamic() const { return interval_ > 0; }
  // Whether an overflow may come from the scale. At 1 the gradients themselves are beyond the dtype.
  bool can_shrink() const { return is_dynamic() && value_ > 1; }

  void overflowed() {
    if (can_shrink()) value_ /= 2;
    good_steps_ = 0;
  }
  void fitted() {
    if (!is_dynamic() || ++good_steps_ < interval_) return;
    if (value_ < kMost) value_ *= 2;
    good_steps_ = 0;
  }

 private:
  LossScale(double start, std::int64_t interval) : value_(start), interval_(interval) {}

  double value_ = 1;
  std::int64_t interval_ = 0;  // 0: never changes
  std::int64_t good_steps_ = 0;
};

}  // namespace shardlora
