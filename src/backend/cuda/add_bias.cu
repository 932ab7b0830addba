// A bias in every row: y[i, k] += bias[k]. The CPU's bits.
#include "backend/cuda/kernels.h"
#include "backend/cuda/vector.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

namespace {

template <typename T>
__global__ void add_bias_kernel(T* y, const float* bias, std::int64_t d, unsigned parts, bool vectors) {
  constexpr int kRun = kWidth<T, float>;
  const RowPlace place(parts, kRun);
  const std::int64_t k0 = place.column;
  if (k0 >= d) return;
  T* row = y + place.row * d;
  float values[kRun], more[kRun];
  load(values, row + k0, d - k0, vectors);
  load(more, bias + k0, d - k0, vectors);
#pragma unroll
  for (int k = 0; k < kRun; ++k) values[k] += more[k];
  store(row + k0, values, d - k0, vectors);
}

}  // namespace

void add_bias(Tensor y, ConstTensor bias, cudaStream_t stream) {
  with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t d = y.dim(1);
    const RowGrid grid(y.dim(0), d, kWidth<T, float>);
    launch(add_bias_kernel<T>, grid.blocks, grid.threads, 0, stream, y.as<T>(), bias.as<float>(), d, grid.parts,
           aligned(y.data, bias.data) && d % kWidth<T, float> == 0);
  });
}

}  // namespace shardlora::cuda
