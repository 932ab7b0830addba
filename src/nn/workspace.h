// Scratch memory of a fixed size, handed out front to back and never given back: a copy goes on where its original
// stood. A measuring workspace has no memory and only adds up, so that a size is found by the code that uses it.
#pragma once

#include <cstddef>

#include "tensor/tensor.h"

namespace shardlora {

class Workspace {
 public:
  Workspace() = default;  // measures
  Workspace(std::byte* data, std::size_t bytes) : data_(data), capacity_(bytes) {}

  Tensor take(DType dtype, Shape shape) {
    const Tensor tensor{data_ == nullptr ? nullptr : data_ + used_, dtype, shape};
    used_ += (tensor.bytes() + kAlignment - 1) / kAlignment * kAlignment;
    CHECK(data_ == nullptr || used_ <= capacity_, "a workspace of {} bytes is too small for {}", capacity_, used_);
    return tensor;
  }
  std::size_t used() const { return used_; }

 private:
  static constexpr std::size_t kAlignment = 64;
  std::byte* data_ = nullptr;
  std::size_t capacity_ = 0, used_ = 0;
};

}  // namespace shardlora
