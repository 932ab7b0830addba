// The cache's lines from the rows of a prompt: row n of sample s goes to cache[s, n - begin of s]. Rows are multiples
// of 16 bytes (a head size is a multiple of 8), copied as such.
#include "backend/cuda/attention_rows.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace shardlora::cuda {

namespace {

// A block takes one row of k and of v, `chunks` pieces of 16 bytes each.
__global__ void __launch_bounds__(kThreads) fill_kernel(uint4* cache_k, uint4* cache_v, const uint4* k, const uint4* v,
                                                        const int* bounds, int samples, int capacity, int chunks) {
  const int row = static_cast<int>(blockIdx.x);
  if (row >= bounds[samples]) return;  // of no sample
  const SampleRows sample = sample_of(row, bounds, samples);
  const std::int64_t position = row - sample.begin;
  device_check(position < capacity);
  const std::int64_t from = static_cast<std::int64_t>(row) * chunks,
                     to = (static_cast<std::int64_t>(sample.index) * capacity + position) * chunks;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < chunks; i += kThreads) {
    cache_k[to + i] = k[from + i];
    cache_v[to + i] = v[from + i];
  }
}

}  // namespace

void fill_cache(KvCache cache, ConstTensor k, ConstTensor v, ConstTensor bounds, cudaStream_t stream) {
  const std::size_t row_bytes = static_cast<std::size_t>(k.dim(1) * k.dim(2)) * size_of(k.dtype);
  CHECK(row_bytes % sizeof(uint4) == 0, "a head size is a multiple of 8, not {}", k.dim(2));
  check_rows(cache.k, cache.v, k, v);
  launch(fill_kernel, dim3(static_cast<unsigned>(k.dim(0))), dim3(kThreads), 0, stream,
         reinterpret_cast<uint4*>(cache.k.data), reinterpret_cast<uint4*>(cache.v.data),
         reinterpret_cast<const uint4*>(k.data), reinterpret_cast<const uint4*>(v.data), bounds.as<std::int32_t>(),
         static_cast<int>(bounds.dim(0)) - 1, static_cast<int>(cache.capacity()),
         static_cast<int>(row_bytes / sizeof(uint4)));
}

}  // namespace shardlora::cuda
