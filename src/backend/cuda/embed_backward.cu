// dtable[t] = the sum of the rows of dy whose token is t, added in the order of the rows: the CPU's bits, without
// atomics, sorting or scratch. The block of a token's first row adds all of them; the blocks of its other rows leave.
#include "backend/cuda/kernels.h"
#include "backend/cuda/reduce.h"
#include "backend/cuda/vector.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

namespace {

// Whether `token` stands before row i. All threads get the answer.
__device__ bool came_before(const std::int32_t* tokens, std::int32_t token, std::int64_t i) {
  __shared__ int found;
  if (threadIdx.x == 0) found = 0;
  __syncthreads();
  for (std::int64_t j = threadIdx.x; j < i; j += kThreads)
    if (tokens[j] == token) found = 1;  // every writer writes the same
  __syncthreads();
  return found != 0;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    embed_backward_kernel(float* dtable, const std::int32_t* tokens, const T* dy, TableSlice slice, std::int64_t rows,
                          std::int64_t n, std::int64_t d, bool vectors) {
  __shared__ unsigned same[kThreads / 32];  // a bit a row: its token is ours
  constexpr int kRun = kWidth<T, float>;
  const std::int64_t i = blockIdx.x, column = (static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kRun;
  const std::int32_t token = tokens[i];
  device_check(0 <= token && token < slice.vocab);
  const std::int64_t row_of_table = token - slice.first;
  if (row_of_table < 0 || row_of_table >= rows || came_before(tokens, token, i)) return;  // the whole block leaves
  float sum[kRun] = {};
  for (std::int64_t begin = i; begin < n; begin += kThreads) {
    const std::int64_t j = begin + threadIdx.x;
    const unsigned of_warp = __ballot_sync(kWholeWarp, j < n && tokens[j] == token);
    if (threadIdx.x % 32 == 0) same[threadIdx.x / 32] = of_warp;
    __syncthreads();
    for (int word = 0; word < kThreads / 32; ++word)
      for (unsigned rows = same[word]; rows != 0; rows &= rows - 1) {
        float row[kRun];
        load(row, dy + (begin + word * 32 + __ffs(static_cast<int>(rows)) - 1) * d + column, d - column, vectors);
#pragma unroll
        for (int k = 0; k < kRun; ++k) sum[k] += row[k];
      }
    __syncthreads();
  }
  store(dtable + row_of_table * d + column, sum, d - column, vectors);
}

}  // namespace

void embed_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy, TableSlice slice, cudaStream_t stream) {
  if (slice.vocab == 0) slice.vocab = dtable.dim(0);
  zero(dtable, stream);
  with_float_type(dy.dtype, [&]<typename T>(std::type_identity<T>) {
    const std::int64_t n = dy.dim(0), d = dy.dim(1);
    launch(embed_backward_kernel<T>, {static_cast<unsigned>(n), blocks_for(d, kThreads * kWidth<T, float>)}, kThreads,
           0, stream, dtable.as<float>(), tokens.as<std::int32_t>(), dy.as<T>(), slice, dtable.dim(0), n, d,
           aligned(dtable.data, dy.data) && d % kWidth<T, float> == 0);
  });
}

}  // namespace shardlora::cuda
