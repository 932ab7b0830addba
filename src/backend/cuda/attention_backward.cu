// Attention's backward (Dao, "FlashAttention-2", 2023). With delta = rowsum(do o), and p computed again from lse:
// dv = p^T do, dp = do v^T, ds = p (dp - delta), dq = scale ds k, dk = scale ds^T q.
// One kernel sums dk and dv over queries, another dq over keys: each value has one block that adds it in a fixed order.
#include "backend/cuda/attention_parts.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace shardlora::cuda {

namespace {

constexpr int kDeltaThreads = 128;

// Eight lanes for every row of every head; delta (H, N), d_o and o (N, H, D).
template <typename T>
__global__ void __launch_bounds__(kDeltaThreads) delta_kernel(float* delta, const T* d_o, const T* o, AttentionSizes z) {
  const std::int64_t index = (static_cast<std::int64_t>(blockIdx.x) * kDeltaThreads + threadIdx.x) / 8;
  const int lane = static_cast<int>(threadIdx.x) % 8;
  const bool inside = index < static_cast<std::int64_t>(z.rows) * z.heads;
  float sum = 0.0F;
  for (int c = lane * 8; inside && c < z.d; c += 64) {
    float a[8], b[8];
    load_8(a, d_o + index * z.d + c);
    load_8(b, o + index * z.d + c);
    for (int i = 0; i < 8; ++i) sum += a[i] * b[i];
  }
  for (int offset = 4; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffU, sum, offset);
  if (inside && lane == 0) delta[index % z.heads * z.rows + index / z.heads] = sum;
}

}  // namespace

void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor delta, ConstTensor d_o, ConstTensor o, ConstTensor lse,
                        ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds, float scale,
                        cudaStream_t stream) {
  check_rows(dq, dk, dv, d_o, o, q, k, v);
  const AttentionSizes sizes = attention_sizes(q, k, bounds, scale);
  with_float_type(q.dtype, [&]<typename T>(std::type_identity<T>) {
    launch(delta_kernel<T>, dim3(blocks_for(q.dim(0) * q.dim(1), kDeltaThreads / 8)), dim3(kDeltaThreads), 0, stream,
           delta.as<float>(), d_o.as<T>(), o.as<T>(), sizes);
    attend_backward(
        AttentionBackward<T>{dq.as<T>(), dk.as<T>(), dv.as<T>(), d_o.as<T>(), q.as<T>(), k.as<T>(), v.as<T>(),
                             lse.as<float>(), delta.as<float>(), bounds.as<std::int32_t>(), sizes},
        stream);
  });
}

}  // namespace shardlora::cuda
