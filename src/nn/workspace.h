// Scratch memory of a fixed size, handed out front to back. Nothing is freed one by one: `mark` and `rewind` give back
// all that was taken since. A measuring workspace has no memory and only adds up, so that a size is found by the code
// that uses it.
#pragma once

#include <algorithm>
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
    peak_ = std::max(peak_, used_);
    DCHECK(data_ == nullptr || used_ <= capacity_, "a workspace of {} bytes is too small for {}", capacity_, used_);
    return tensor;
  }
  std::size_t mark() const { return used_; }
  void rewind(std::size_t mark) { used_ = mark; }
  std::size_t peak() const { return peak_; }

 private:
  static constexpr std::size_t kAlignment = 64;
  std::byte* data_ = nullptr;
  std::size_t capacity_ = 0, used_ = 0, peak_ = 0;
};

}  // namespace shardlora
