// The inputs of the layers, one per (layer, micro-batch of the wave): what backward recomputes from. They rest on the
// device.
#pragma once

#include "backend/device.h"

namespace shardlora {

class ActivationStore {
 public:
  // `layers` inputs are kept at a time: input l lives where l modulo `layers` says, so a pass that only goes forward
  // needs two.
  ActivationStore(Device& device, std::int64_t layers, std::int64_t micro_batches, std::int64_t rows,
                  std::int64_t width, DType dtype)
      : layers_(layers), micro_batches_(micro_batches), rows_(rows), width_(width), dtype_(dtype) {
    const auto values = static_cast<std::size_t>(layers * micro_batches * rows * width);
    buffer_ = device.allocate(values * size_of(dtype), Tier::kDevice, Purpose::kLayerInputs);
  }

  // (rows, width): where layer `layer`'s input of the wave's micro-batch `slot` is written and read.
  Tensor at(std::int64_t layer, std::int64_t slot, std::int64_t rows) const {
    CHECK(slot < micro_batches_ && rows <= rows_, "micro-batch {} of {} rows in a store of {} x {}", slot, rows,
          micro_batches_, rows_);
    const std::int64_t place = (layer % layers_) * micro_batches_ + slot;
    return buffer_.tensor(dtype_, {rows, width_}, static_cast<std::size_t>(place * rows_ * width_) * size_of(dtype_));
  }

 private:
  std::int64_t layers_, micro_batches_, rows_, width_;
  DType dtype_;
  Buffer buffer_;
};

}  // namespace shardlora
