// The update of a step and the norm that it is clipped by, over this rank's shares: on the device where a unit's
// optimiser state rests there, on the host where it rests on the host (Ren et al., "ZeRO-Offload", 2021). The same bits
// in both. A unit can be updated as soon as its gradient is complete.
#pragma once

#include "optim/adamw.h"
#include "shard/param_store.h"

namespace shardlora {

class Optimizer {
 public:
  // A unit's masters, gradients and state rest in one place.
  Optimizer(Device& device, ParamStore& store);
  // Waits for what is under way on the host.
  ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // sums: f32, in device memory, one for each block of kElementBlock elements of this rank's gradients, unit behind
  // unit; in the order of compute(). One call before the host waits.
  void sum_squares(Tensor sums);
  // AdamW, with m and v the two tensors of state; gradients count times `gradient_scale`.
  void update(std::size_t unit, const AdamWStep& adamw, float gradient_scale);

 private:
  bool on_host(std::size_t unit) const { return store_.residence(unit).state == Tier::kPinned; }

  Device& device_;
  ParamStore& store_;
  Buffer squares_;  // of units on the host, on their way to the device: where they come among all
};

}  // namespace shardlora
