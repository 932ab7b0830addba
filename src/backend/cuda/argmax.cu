// The first index of the largest logit of each row; of nothing but NaN: 0. A block takes a row.
#include "backend/cuda/kernels.h"
#include "backend/cuda/reduce.h"
#include "backend/cuda/vector.h"

namespace shardlora::cuda {

namespace {

constexpr int kRowThreads = 512;

__global__ void __launch_bounds__(kRowThreads) argmax_kernel(std::int32_t* ids, const float* logits, int vocabulary) {
  const float* row = logits + static_cast<std::int64_t>(blockIdx.x) * vocabulary;
  float most = Largest::kNone;
  int first = Smallest::kNone;
  for (int k = static_cast<int>(threadIdx.x); k < vocabulary; k += kRowThreads) {
    const float x = row[k];
    if (x > most || (x == most && first == Smallest::kNone)) {
      most = x;
      first = k;
    }
  }
  const float largest = over_block<Largest>(most);
  first = over_block<Smallest>(most == largest ? first : Smallest::kNone);
  if (threadIdx.x == 0) ids[blockIdx.x] = first == Smallest::kNone ? 0 : first;
}

}  // namespace

void argmax(Tensor ids, ConstTensor logits, cudaStream_t stream) {
  launch(argmax_kernel, static_cast<unsigned>(logits.dim(0)), kRowThreads, 0, stream, ids.as<std::int32_t>(),
         logits.as<float>(), static_cast<int>(logits.dim(1)));
}

}  // namespace shardlora::cuda
