// Tensors for tests of kernels: memory, view and values as doubles in one.
#pragma once

#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "backend/device_under_test.h"
#include "base/philox.h"
#include "tensor/tensor.h"

namespace shardlora {

using Doubles = std::vector<double>;

// Unit roundoff: half the distance from 1 to the next number.
inline double roundoff(DType dtype) {
  return dtype == DType::kBF16 ? 0x1p-8 : dtype == DType::kF16 ? 0x1p-11 : 0x1p-24;
}

// What rounding `value` may do; f16's subnormals lie 2^-24 apart.
inline double rounding(DType dtype, double value) {
  return roundoff(dtype) * std::abs(value) + (dtype == DType::kF16 ? 0x1p-25 : 0.0);
}

inline float rounded(DType dtype, float value) {
  return dtype == DType::kBF16 ? to_float(to_bf16(value)) : dtype == DType::kF16 ? to_float(to_f16(value)) : value;
}

// Numbers spread over [-scale, scale), the same for the same seed.
inline Doubles random_values(std::int64_t n, std::uint32_t seed, double scale = 1.0) {
  Doubles values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = (2.0 * uniform(philox({seed, 7}, {static_cast<std::uint32_t>(i)}).v[0]) - 1.0) * scale;
  return values;
}

// Values in the memory of the device under test.
class Held {
 public:
  Held(DType dtype, Shape shape) : tensor{nullptr, dtype, shape}, memory_(memory_under_test(tensor.bytes())) {
    tensor.data = memory_.get();
    put(std::vector<std::byte>(tensor.bytes(), std::byte{0xff}));  // NaN: what a kernel leaves out shows
  }
  // The values rounded to dtype.
  Held(DType dtype, Shape shape, const Doubles& values) : Held(dtype, shape) {
    std::vector<std::byte> rounded(tensor.bytes());
    const Tensor host{rounded.data(), dtype, shape};
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto value = static_cast<float>(values[i]);
      if (dtype == DType::kF32) host.as<float>()[i] = value;
      if (dtype == DType::kBF16) host.as<BF16>()[i] = to_bf16(value);
      if (dtype == DType::kF16) host.as<F16>()[i] = to_f16(value);
      if (dtype == DType::kI32) host.as<std::int32_t>()[i] = static_cast<std::int32_t>(values[i]);
    }
    put(rounded);
  }
  Held(DType dtype, Shape shape, std::uint32_t seed, double scale = 1.0)
      : Held(dtype, shape, random_values(shape.numel(), seed, scale)) {}

  Doubles values() const {
    const std::vector<std::byte> copied = bytes();
    const ConstTensor host{copied.data(), tensor.dtype, tensor.shape};
    Doubles out(static_cast<std::size_t>(tensor.numel()));
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (tensor.dtype == DType::kF32) out[i] = static_cast<double>(host.as<float>()[i]);
      if (tensor.dtype == DType::kBF16) out[i] = static_cast<double>(to_float(host.as<BF16>()[i]));
      if (tensor.dtype == DType::kF16) out[i] = static_cast<double>(to_float(host.as<F16>()[i]));
      if (tensor.dtype == DType::kI32) out[i] = host.as<std::int32_t>()[i];
    }
    return out;
  }
  // What every kernel submitted so far has left.
  std::vector<std::byte> bytes() const {
    Device& device = device_under_test();
    std::vector<std::byte> out(tensor.bytes());
    device.copy(out.data(), tensor.data, out.size(), device.compute());
    device.compute().synchronize();
    return out;
  }
  void put(const std::vector<std::byte>& bytes) const {
    Device& device = device_under_test();
    device.copy(tensor.data, bytes.data(), bytes.size(), device.compute());
    device.compute().synchronize();
  }
  operator Tensor() const { return tensor; }
  operator ConstTensor() const { return tensor; }

  Tensor tensor;

 private:
  std::shared_ptr<std::byte> memory_;
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
