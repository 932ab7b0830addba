// Attention, from tensors to the kernels of a dtype.
#include "backend/cuda/attention_parts.h"
#include "backend/cuda/kernels.h"

namespace shardlora::cuda {

void attention(Tensor o, Tensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds, float scale,
               cudaStream_t stream) {
  CHECK(scale > 0.0F, "attention's largest score is the largest product of q and k: its scale is positive, not {}",
         scale);
  check_rows(o, q, k, v);
  with_float_type(q.dtype, [&]<typename T>(std::type_identity<T>) {
    attend(AttentionForward<T>{o.as<T>(), lse.as<float>(), q.as<T>(), k.as<T>(), v.as<T>(), bounds.as<std::int32_t>(),
                               attention_sizes(q, k, bounds, scale)},
           stream);
  });
}

}  // namespace shardlora::cuda
