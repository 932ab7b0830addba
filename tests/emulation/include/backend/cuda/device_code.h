// The twin of src/backend/cuda/device_code.h for the emulation: the same functions with the same meaning.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "emulation/mma.h"
#include "tensor/dtype.h"

namespace shardlora::cuda {

template <typename T>
T* dynamic_shared() {
  return static_cast<T*>(emulation::dynamic_shared_memory());
}

inline float as_float(float x) { return x; }
inline float as_float(BF16 x) { return to_float(x); }
inline float as_float(F16 x) { return emulation::half_to_float(x.bits); }

template <typename T>
T rounded(float x) {
  if constexpr (std::is_same_v<T, float>)
    return x;
  else if constexpr (std::is_same_v<T, BF16>)
    return to_bf16(x);
  else
    return {emulation::float_to_half(x)};
}

template <typename T>
unsigned pack2(float low, float high) {
  return static_cast<unsigned>(rounded<T>(low).bits) | static_cast<unsigned>(rounded<T>(high).bits) << 16;
}

inline void device_check(bool ok, const std::source_location& where = std::source_location::current()) {
  if (!ok) emulation::fail_thread(cudaErrorLaunchFailure, "device_check: a contract of the kernel is broken", &where);
}

template <typename T>
void mma_16816(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
               const std::source_location& where = std::source_location::current()) {
  emulation::mma_16816(d, a, b, std::is_same_v<T, BF16>, where);
}

}  // namespace shardlora::cuda
