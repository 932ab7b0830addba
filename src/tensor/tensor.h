// Views of contiguous row-major values. A Tensor looks, it never owns; it converts to a ConstTensor, never back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/error.h"
#include "tensor/dtype.h"

namespace shardlora {

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : rank_(static_cast<int>(dims.size())) {
    CHECK(dims.size() <= dims_.size(), "a shape has at most 4 dimensions, got {}", dims.size());
    int i = 0;
    for (const std::int64_t d : dims) dims_[static_cast<std::size_t>(i++)] = d;
  }
  int rank() const { return rank_; }
  std::int64_t operator[](int i) const { return dims_[static_cast<std::size_t>(i)]; }
  std::int64_t numel() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[static_cast<std::size_t>(i)];
    return n;
  }
  bool operator==(const Shape&) const = default;
  std::string text() const;  // "(3, 64)"

 private:
  std::array<std::int64_t, 4> dims_{};
  int rank_ = 0;
};

template <typename Byte>
struct BasicTensor {
  Byte* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  std::int64_t numel() const { return shape.numel(); }
  std::size_t bytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype); }
  std::int64_t dim(int i) const { return shape[i]; }
  explicit operator bool() const { return data != nullptr; }

  template <typename T>
  auto as() const {
    CHECK(dtype == DTypeOf<T>::value, "a {} tensor read as {}", name_of(dtype), name_of(DTypeOf<T>::value));
    if constexpr (std::is_const_v<Byte>)
      return reinterpret_cast<const T*>(data);
    else
      return reinterpret_cast<T*>(data);
  }

  // The same values under another shape.
  BasicTensor view(Shape other) const {
    CHECK(other.numel() == numel(), "cannot view {} as {}", shape.text(), other.text());
    return {data, dtype, other};
  }

  // Rows [begin, end) of the first dimension.
  BasicTensor rows(std::int64_t begin, std::int64_t end) const {
    CHECK(0 <= begin && begin <= end && end <= dim(0), "rows [{}, {}) of {}", begin, end, shape.text());
    const std::int64_t row = dim(0) == 0 ? 0 : numel() / dim(0);
    Shape part = shape.rank() == 1   ? Shape{end - begin}
                 : shape.rank() == 2 ? Shape{end - begin, shape[1]}
                 : shape.rank() == 3 ? Shape{end - begin, shape[1], shape[2]}
                                     : Shape{end - begin, shape[1], shape[2], shape[3]};
    return {data + static_cast<std::size_t>(begin * row) * size_of(dtype), dtype, part};
  }

  operator BasicTensor<const std::byte>() const
    requires(!std::is_const_v<Byte>)
  {
    return {data, dtype, shape};
  }
};

using Tensor = BasicTensor<std::byte>;
using ConstTensor = BasicTensor<const std::byte>;

}  // namespace shardlora
