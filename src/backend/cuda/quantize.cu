// Values to packed weights: the codes, absmax and nested absmax of quant/nf4.h, bit for bit.
//
// One thing is added up in another order than there: the mean of all absmax, in double, as 1,024 sums side by side.
// Every order is exact where blocks * largest / smallest absmax (but zero) is below 2^29; beyond that the mean, rounded
// to f32, can be the neighbour of the host's, about once in 10^8 matrices.
#include "backend/cuda/kernels.h"
#include "backend/cuda/level_tables.h"
#include "backend/cuda/reduce.h"
#include "backend/cuda/vector.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

namespace {

constexpr int kMeanThreads = 1024;

// A warp encodes a block. Whole blocks multiply by the reciprocal, a short last one divides.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    encode_kernel(std::byte* codes, float* absmax, const T* values, int block, std::int64_t n) {
  const std::int64_t b = run_begin(1) / 32, begin = b * block;
  if (begin >= n) return;  // the whole warp leaves
  const int count = static_cast<int>(n - begin < block ? n - begin : block), lane = static_cast<int>(threadIdx.x % 32);
  unsigned bits = 0;  // of magnitudes, which are ordered as their values; NaN wins
  for (int k = lane; k < count; k += 32)
    bits = LargestBits::fold(bits, __float_as_uint(as_float(values[begin + k])) & 0x7FFFFFFFU);
  const float magnitude = __uint_as_float(over_warp<LargestBits>(bits)), divisor = fmaxf(magnitude, kNf4SmallestAbsmax);
  const bool whole = count == block;
  const float inverse = 1.0F / divisor;
  if (lane == 0) absmax[b] = whole ? magnitude : divisor;
  const auto code = [&](int k) -> unsigned {
    if (k >= count) return nf4_code(0.0F);
    const float x = as_float(values[begin + k]);
    return nf4_code(whole ? x * inverse : x / divisor);
  };
  for (int k = 2 * lane; k < count; k += 64)
    codes[(begin + k) / 2] = static_cast<std::byte>(code(k) << 4U | code(k + 1));
}

__global__ void __launch_bounds__(kMeanThreads) mean_kernel(float* mean, const float* absmax, std::int64_t blocks) {
  __shared__ double sums[kMeanThreads];
  double sum = 0;
  for (std::int64_t b = threadIdx.x; b < blocks; b += kMeanThreads) sum += static_cast<double>(absmax[b]);
  sums[threadIdx.x] = sum;
  for (unsigned half = kMeanThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *mean = static_cast<float>(sums[0] / static_cast<double>(blocks));
}

// A block takes a group of kNestedBlock absmax.
__global__ void __launch_bounds__(kNestedBlock)
    compress_kernel(std::byte* codes, float* group_absmax, Nf4Nested* nested, const float* absmax,
                    std::int64_t blocks) {
  const std::int64_t b = static_cast<std::int64_t>(blockIdx.x) * kNestedBlock + threadIdx.x;
  const float from_mean = b < blocks ? absmax[b] - nested->offset : 0.0F;
  const float largest = over_block<Largest>(fmaxf(0.0F, fabsf(from_mean)));
  if (threadIdx.x == 0) group_absmax[blockIdx.x] = largest;
  static_assert(kNestedBlock == kDynamicLevels);
  if (blockIdx.x == 0) nested->map[threadIdx.x] = kDynamicTable[threadIdx.x];
  const float inverse = 1.0F / largest;
  if (b < blocks) codes[b] = static_cast<std::byte>(dynamic_code(from_mean * inverse, kDynamicTable.data()));
}

}  // namespace

void quantize(const Format& format, const Sections& to, ConstTensor values, Tensor absmax, cudaStream_t stream) {
  if (format.dense()) return cast({to[0], dtype_of(format.codec), values.shape}, values, stream);
  const std::int64_t n = values.numel(), blocks = scales_of(format, n);
  float* const scales = format.double_quant ? absmax.as<float>() : reinterpret_cast<float*>(to[1]);
  with_float_type(values.dtype, [&]<typename T>(std::type_identity<T>) {
    launch(encode_kernel<T>, blocks_for(blocks, kThreads / 32), kThreads, 0, stream, to[0], scales, values.as<T>(),
           format.block, n);
  });
  if (!format.double_quant || blocks == 0) return;
  auto* group_absmax = reinterpret_cast<float*>(to[2]);
  auto* nested = reinterpret_cast<Nf4Nested*>(to[3]);
  launch(mean_kernel, 1, kMeanThreads, 0, stream, &nested->offset, scales, blocks);
  launch(compress_kernel, blocks_for(blocks, kNestedBlock), kNestedBlock, 0, stream, to[1], group_absmax, nested,
         scales, blocks);
}

}  // namespace shardlora::cuda
