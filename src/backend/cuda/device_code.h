// What device code needs beyond the CUDA language: conversions, tensor-core products, dynamic shared memory. The host
// emulation of the tests has a header of the same name with the same functions.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstring>
#include <type_traits>

#include "tensor/dtype.h"

namespace shardlora::cuda {

// The start of the block's dynamic shared memory, at a multiple of 16 bytes.
template <typename T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ uint4 dynamic_shared_memory[];
  return reinterpret_cast<T*>(dynamic_shared_memory);
}

__device__ __forceinline__ float as_float(float x) { return x; }
__device__ __forceinline__ float as_float(BF16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }
__device__ __forceinline__ float as_float(F16 x) { return __half2float(__ushort_as_half(x.bits)); }

// Rounded to nearest, ties to even.
template <typename T>
__device__ __forceinline__ T rounded(float x) {
  if constexpr (std::is_same_v<T, float>)
    return x;
  else if constexpr (std::is_same_v<T, BF16>)
    return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
  else
    return {__half_as_ushort(__float2half_rn(x))};
}

// Two rounded values in a register, `low` in the low half.
template <typename T>
__device__ __forceinline__ unsigned pack2(float low, float high) {
  unsigned both;
  if constexpr (std::is_same_v<T, BF16>) {
    const __nv_bfloat162 two = __floats2bfloat162_rn(low, high);  // one instruction from sm_80 on
    memcpy(&both, &two, sizeof both);
  } else {
    const __half2 two = __floats2half2_rn(low, high);
    memcpy(&both, &two, sizeof both);
  }
  return both;
}

// Stops the kernel, and with it the program, where our own contract is broken: an index outside its table.
__device__ __forceinline__ void device_check(bool ok) {
  if (!ok) __trap();
}

// d (16, 8) += a (16, 16) b (16, 8) by a warp, sums in f32; the fragments of PTX's mma.m16n8k16, row.col.
// BF16 from sm_80 on; F16 on sm_75 in two halves.
template <typename T>
__device__ __forceinline__ void mma_16816(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  if constexpr (std::is_same_v<T, BF16>) {
#if __CUDA_ARCH__ >= 800
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    __trap();  // the device never computes in bf16 there
#endif
  } else {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif __CUDA_ARCH__ >= 750
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5},{%6},{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(b[0]));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5},{%6},{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[2]), "r"(a[3]), "r"(b[1]));
#else
    __trap();
#endif
  }
}

// 2^x within two units of the last place; what lies below the normal numbers is 0.
__device__ __forceinline__ float exp2_flushed(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Four 8 x 8 matrices of 16-bit values from shared memory, as fragments of mma. Lane l gives the start of row l % 8 of
// matrix l / 8, at a multiple of 16 bytes; register i of lane l is then columns 2 (l % 4) and one more of row l / 4 of
// matrix i. From sm_75 on.
__device__ __forceinline__ void load_matrices(unsigned (&d)[4], const void* row) {
#if __CUDA_ARCH__ >= 750
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
               : "memory");
#else
  __trap();
#endif
}

// The same with every matrix transposed: register i of lane l is rows 2 (l % 4) and one more of column l / 4.
__device__ __forceinline__ void load_matrices_transposed(unsigned (&d)[4], const void* row) {
#if __CUDA_ARCH__ >= 750
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
               : "memory");
#else
  __trap();
#endif
}

// Begins to copy 16 bytes into shared memory, or 16 zeros where `take` is false. They are there for the calling thread
// after wait_for_copies(), for its block after a barrier behind that.
__device__ __forceinline__ void copy_16_async(void* shared, const void* global, bool take) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(shared))),
      "l"(__cvta_generic_to_global(global)), "r"(take ? 16 : 0)
      : "memory");
#else
  *static_cast<uint4*>(shared) = take ? *static_cast<const uint4*>(global) : make_uint4(0, 0, 0, 0);
#endif
}

__device__ __forceinline__ void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

}  // namespace shardlora::cuda
