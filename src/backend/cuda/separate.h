// A float whose products and sums round one by one, as on the CPU: of plain floats nvcc makes a product and a sum into
// one fma, with other bits.
#pragma once

#include "backend/cuda/device_code.h"

namespace shardlora::cuda {

struct Separate {
  float value;

  __device__ __forceinline__ Separate(float x) : value(x) {}
  __device__ __forceinline__ explicit operator float() const { return value; }

  friend __device__ __forceinline__ Separate operator+(Separate a, Separate b) { return __fadd_rn(a.value, b.value); }
  friend __device__ __forceinline__ Separate operator-(Separate a, Separate b) { return __fsub_rn(a.value, b.value); }
  friend __device__ __forceinline__ Separate operator*(Separate a, Separate b) { return __fmul_rn(a.value, b.value); }
  friend __device__ __forceinline__ Separate operator/(Separate a, Separate b) { return __fdiv_rn(a.value, b.value); }
  friend __device__ __forceinline__ Separate sqrt(Separate a) { return __fsqrt_rn(a.value); }
  __device__ __forceinline__ Separate& operator+=(Separate b) { return *this = *this + b; }
  __device__ __forceinline__ Separate& operator-=(Separate b) { return *this = *this - b; }
  __device__ __forceinline__ Separate& operator*=(Separate b) { return *this = *this * b; }
};

}  // namespace shardlora::cuda
