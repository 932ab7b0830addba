// Kernels of the host for what rests in pinned memory, in the order of a stream of the device: each call is submitted
// and returns at once. Checks, and bits, are those of the device's own (backend/ops.h): one rule and one order, each
// operation rounded by itself.
#pragma once

#include "backend/device.h"

namespace shardlora {

class HostOps {
 public:
  HostOps(Device& device, Stream& stream) : stream_(stream), threads_(device.threads()) {}

  void cast(Tensor y, ConstTensor x);
  void add(Tensor y, ConstTensor a, ConstTensor b);
  void adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step, float gradient_scale);
  void sums_of_squares(Tensor sums, ConstTensor x);

 private:
  template <typename Work>
  void submit(Work work);

  Stream& stream_;
  int threads_;
};

}  // namespace shardlora
