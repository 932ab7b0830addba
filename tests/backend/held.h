// Tensors for tests of kernels: memory, view and values as doubles in one.
#pragma once

#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "base/philox.h"
#include "tensor/tensor.h"

namespace shardlora {

using Doubles = std::vector<double>;

// Unit roundoff: half the distance from 1 to the next number.
inline double roundoff(DType dtype) { return dtype == DType::kBF16 ? 0x1p-8 : 0x1p-24; }

// Numbers spread over [-scale, scale), the same for the same seed.
inline Doubles random_values(std::int64_t n, std::uint32_t seed, double scale = 1.0) {
  Doubles values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = (2.0 * uniform(philox({seed, 7}, {static_cast<std::uint32_t>(i)}).v[0]) - 1.0) * scale;
  return values;
}

class Held {
 public:
  Held(DType dtype, Shape shape) : tensor{nullptr, dtype, shape} {
    const std::size_t bytes = (tensor.bytes() + 64) / 64 * 64;
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, bytes)));
    std::fill(memory_.get(), memory_.get() + bytes, std::byte{0xff});  // NaN: what a kernel leaves out shows
    tensor.data = memory_.get();
  }
  // The values rounded to dtype.
  Held(DType dtype, Shape shape, const Doubles& values) : Held(dtype, shape) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto value = static_cast<float>(values[i]);
      if (dtype == DType::kF32) tensor.as<float>()[i] = value;
      if (dtype == DType::kBF16) tensor.as<BF16>()[i] = to_bf16(value);
      if (dtype == DType::kI32) tensor.as<std::int32_t>()[i] = static_cast<std::int32_t>(values[i]);
    }
  }
  Held(DType dtype, Shape shape, std::uint32_t seed, double scale = 1.0)
      : Held(dtype, shape, random_values(shape.numel(), seed, scale)) {}

  Doubles values() const {
    Doubles out(static_cast<std::size_t>(tensor.numel()));
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (tensor.dtype == DType::kF32) out[i] = static_cast<double>(tensor.as<float>()[i]);
      if (tensor.dtype == DType::kBF16) out[i] = static_cast<double>(to_float(tensor.as<BF16>()[i]));
      if (tensor.dtype == DType::kI32) out[i] = tensor.as<std::int32_t>()[i];
    }
    return out;
  }
  std::vector<std::byte> bytes() const { return {tensor.data, tensor.data + tensor.bytes()}; }
  operator Tensor() const { return tensor; }
  operator ConstTensor() const { return tensor; }

  Tensor tensor;

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> memory_;
};

inline Held ints(const std::vector<std::int32_t>& values) {
  return {DType::kI32, {static_cast<std::int64_t>(values.size())}, Doubles(values.begin(), values.end())};
}

// How far `got` may lie from `want`, in units of what `allowed` gives for value i: at most 1 passes. NaN is infinitely
// far.
inline double worst(const Doubles& got, const Doubles& want, const std::function<double(std::size_t)>& allowed) {
  double most = got.size() == want.size() ? 0.0 : INFINITY;
  for (std::size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    const double ratio = std::abs(got[i] - want[i]) / allowed(i);
    most = std::isnan(ratio) && got[i] != want[i] ? INFINITY : std::max(most, std::isnan(ratio) ? 0.0 : ratio);
  }
  return most;
}

}  // namespace shardlora
