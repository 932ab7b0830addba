// For scripts/check_kernel_code: a kernel for every function of device_code.h that is written in PTX. It brings values
// from places that the script knows through the function to places that it knows, so the script sees which value became
// which operand.
#include "backend/cuda/device_code.h"

namespace shardlora::cuda {

namespace {

template <typename T>
__device__ __forceinline__ void product(float* d, const unsigned* a, const unsigned* b) {
  float sums[4] = {d[0], d[1], d[2], d[3]};
  const unsigned left[4] = {a[0], a[1], a[2], a[3]}, right[2] = {b[0], b[1]};
  mma_16816<T>(sums, left, right);
  for (int i = 0; i < 4; ++i) d[i] = sums[i];
}

}  // namespace

extern "C" {

__global__ void product_bf16(float* d, const unsigned* a, const unsigned* b) { product<BF16>(d, a, b); }
__global__ void product_f16(float* d, const unsigned* a, const unsigned* b) { product<F16>(d, a, b); }

__global__ void matrices(unsigned* d, int at) {
  unsigned out[4];
  load_matrices(out, dynamic_shared<char>() + at);
  for (int i = 0; i < 4; ++i) d[i] = out[i];
}
__global__ void matrices_transposed(unsigned* d, int at) {
  unsigned out[4];
  load_matrices_transposed(out, dynamic_shared<char>() + at);
  for (int i = 0; i < 4; ++i) d[i] = out[i];
}

__global__ void copy(int at, const char* a, int take) {
  copy_16_async(dynamic_shared<char>() + at, a + 32, take != 0);
  wait_for_copies();
}

__global__ void power(float* d, const float* a) { d[0] = exp2_flushed(a[0]); }

}  // extern "C"

}  // namespace shardlora::cuda
