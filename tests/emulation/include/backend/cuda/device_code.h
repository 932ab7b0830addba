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

inline float exp2_flushed(float x) {
  const float y = std::exp2(x);
  return y < 0x1p-126F ? 0.0F : y;
}

inline void load_matrices(unsigned (&d)[4], const void* row,
                          const std::source_location& where = std::source_location::current()) {
  emulation::load_matrices(d, row, false, where);
}

inline void load_matrices_transposed(unsigned (&d)[4], const void* row,
                                     const std::source_location& where = std::source_location::current()) {
  emulation::load_matrices(d, row, true, where);
}

// Nothing is copied before wait_for_copies: what is read too early is not there.
inline void copy_16_async(void* shared, const void* global, bool take) {
  emulation::copy_16_later(shared, global, take);
}
inline void wait_for_copies() { emulation::copy_now(); }

}  // namespace shardlora::cuda
