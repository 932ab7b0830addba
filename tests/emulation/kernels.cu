// Kernels that the laws of the emulation are shown on: some right, some with a planted bug.
#include "emulation/kernels.h"

#include "backend/cuda/device_code.h"

namespace emulation_test {

using shardlora::cuda::as_float;
using shardlora::cuda::device_check;
using shardlora::cuda::dynamic_shared;
using shardlora::cuda::mma_16816;

namespace {

constexpr int kTile = 32, kSumThreads = 256;

__global__ void doubled(float* y, const float* x, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = 2 * x[i];
}

__device__ __forceinline__ float warp_sum(float x) {
  for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xFFFFFFFFU, x, lanes);
  return x;
}

// y[block] = the sum of its n numbers of x.
__global__ void __launch_bounds__(kSumThreads) block_sums(float* y, const float* x, int n) {
  __shared__ float parts[kSumThreads / 32];
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x))
    sum += x[static_cast<int>(blockIdx.x) * n + i];
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    sum = warp_sum(threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0.0F);
    if (threadIdx.x == 0) y[blockIdx.x] = sum;
  }
}

template <bool kBarrier>
__global__ void transposed(float* y, const float* x, int n) {
  __shared__ float tile[kTile][kTile + 1];
  const unsigned column = blockIdx.x * kTile, row = blockIdx.y * kTile;
  for (unsigned i = threadIdx.y; i < kTile; i += blockDim.y)
    tile[i][threadIdx.x] = x[(row + i) * static_cast<unsigned>(n) + column + threadIdx.x];
  if constexpr (kBarrier) __syncthreads();
  for (unsigned i = threadIdx.y; i < kTile; i += blockDim.y)
    y[(column + i) * static_cast<unsigned>(n) + row + threadIdx.x] = tile[threadIdx.x][i];
}

// The order in which a block's threads come: y[rank] = thread.
__global__ void arrivals(int* y, unsigned* counter) { y[atomicAdd(counter, 1U)] = static_cast<int>(threadIdx.x); }

// 8 words a thread: what each warp function gives to each lane.
__global__ void warp_functions(int* y) {
  const int t = static_cast<int>(threadIdx.x), lane = t % 32;
  int* out = y + 8 * t;
  out[0] = __shfl_sync(0xFFFFFFFFU, t, 5);
  out[1] = __shfl_xor_sync(0xFFFFFFFFU, t, 3);
  out[2] = __shfl_down_sync(0xFFFFFFFFU, t, 4);
  out[3] = __shfl_up_sync(0xFFFFFFFFU, t, 4, 8);
  out[4] = static_cast<int>(__ballot_sync(0xFFFFFFFFU, lane % 3 == 0));
  out[5] = __any_sync(0xFFFFFFFFU, lane == 31) + 2 * __all_sync(0xFFFFFFFFU, lane < 31);
  out[6] = lane < 16 ? __shfl_sync(0x0000FFFFU, t, 1) : __shfl_sync(0xFFFF0000U, t, 17);
  out[7] = static_cast<int>(__shfl_sync(0xFFFFFFFFU, static_cast<unsigned long long>(t) << 20, 9) >> 20);
  __syncwarp();
}

// d (16, 8) = a (16, 16) b (16, 8), row-major in memory, by one warp.
template <typename T>
__global__ void product(float* d, const T* a, const T* b) {
  const unsigned lane = threadIdx.x, g = lane / 4, t = lane % 4;
  const auto two = [](T low, T high) {
    return static_cast<unsigned>(low.bits) | static_cast<unsigned>(high.bits) << 16;
  };
  const auto of_a = [&](unsigned r, unsigned c) { return two(a[r * 16 + c], a[r * 16 + c + 1]); };
  const auto of_b = [&](unsigned r) { return two(b[r * 8 + g], b[(r + 1) * 8 + g]); };
  const unsigned fa[4] = {of_a(g, 2 * t), of_a(g + 8, 2 * t), of_a(g, 2 * t + 8), of_a(g + 8, 2 * t + 8)};
  const unsigned fb[2] = {of_b(2 * t), of_b(2 * t + 8)};
  float sums[4] = {};
  mma_16816<T>(sums, fa, fb);
  for (unsigned i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

// y: 128 words; what load_matrices gives lane by lane, plain and then transposed, of 32 rows of 8 numbers.
__global__ void matrices(unsigned* y, const unsigned short* x) {
  __shared__ __align__(16) unsigned short rows[32][8];
  for (int i = 0; i < 8; ++i) rows[threadIdx.x][i] = x[threadIdx.x * 8 + i];
  __syncwarp();
  unsigned plain[4], transposed[4];
  shardlora::cuda::load_matrices(plain, rows[threadIdx.x]);
  shardlora::cuda::load_matrices_transposed(transposed, rows[threadIdx.x]);
  for (int i = 0; i < 4; ++i) {
    y[threadIdx.x * 8 + i] = plain[i];
    y[threadIdx.x * 8 + 4 + i] = transposed[i];
  }
}
// Each of 32 threads copies four numbers behind its back, all but the last, and reads its neighbour's.
template <bool kWait>
__global__ void copied(float* y, const float* x) {
  auto* shared = dynamic_shared<float>();
  const unsigned t = threadIdx.x, neighbour = (t + 1) % 32;
  shardlora::cuda::copy_16_async(shared + 4 * t, x + 4 * t, t != 31);
  if constexpr (kWait) shardlora::cuda::wait_for_copies();
  __syncthreads();
  for (unsigned i = 0; i < 4; ++i) y[4 * neighbour + i] = shared[4 * neighbour + i];
}

__global__ void through_struct(Pointers p) {
  if (static_cast<int>(threadIdx.x) < p.n) p.y[threadIdx.x] = p.x[threadIdx.x] + 1;
}

// Planted bugs.

__global__ void barrier_for_half() {
  if (threadIdx.x < 32) __syncthreads();
}
__global__ void barriers_of_two_kinds() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}
__global__ void shuffle_for_half(int* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0xFFFFFFFFU, static_cast<int>(threadIdx.x), 0);
}
__global__ void shared_overrun(int at) {
  auto* shared = dynamic_shared<char>();
  if (threadIdx.x == 3) shared[at] = 1;
}
__global__ void static_overrun(float* y, int at) {
  __shared__ float parts[8];
  parts[at] = 1;
  y[0] = parts[0];
}
__global__ void unwritten(float* y, bool dynamic) {
  __shared__ float parts[64];
  if (threadIdx.x == 0) parts[0] = dynamic_shared<float>()[0] = 1;
  __syncthreads();
  y[threadIdx.x] = dynamic ? dynamic_shared<float>()[threadIdx.x] : parts[threadIdx.x];
}
__global__ void four_at_once(float4* y, const float* x) { y[0] = *reinterpret_cast<const float4*>(x); }
__global__ void four_by_reference(float4* y, const float* x) {
  const float4& four = *reinterpret_cast<const float4*>(x);
  y[0] = four;
}
__global__ void check_index(int n) { device_check(static_cast<int>(threadIdx.x) < n); }
__global__ void read_at(float* y, const float* x, long at) { y[0] = x[at]; }
__global__ void divided(int* y, int by) { y[0] = 7 / by; }

}  // namespace

void (*const kDoubled)(float*, const float*, int) = doubled;
void (*const kBlockSums)(float*, const float*, int) = block_sums;
void (*const kTransposed)(float*, const float*, int) = transposed<true>;
void (*const kTransposedWithoutBarrier)(float*, const float*, int) = transposed<false>;
void (*const kArrivals)(int*, unsigned*) = arrivals;
void (*const kWarpFunctions)(int*) = warp_functions;
void (*const kProductBF16)(float*, const BF16*, const BF16*) = product<BF16>;
void (*const kProductF16)(float*, const F16*, const F16*) = product<F16>;
void (*const kMatrices)(unsigned*, const unsigned short*) = matrices;
void (*const kCopied)(float*, const float*) = copied<true>;
void (*const kCopiedWithoutWait)(float*, const float*) = copied<false>;
void (*const kBarrierForHalf)() = barrier_for_half;
void (*const kBarriersOfTwoKinds)() = barriers_of_two_kinds;
void (*const kShuffleForHalf)(int*) = shuffle_for_half;
void (*const kSharedOverrun)(int) = shared_overrun;
void (*const kStaticOverrun)(float*, int) = static_overrun;
void (*const kUnwritten)(float*, bool) = unwritten;
void (*const kFourAtOnce)(float4*, const float*) = four_at_once;
void (*const kFourByReference)(float4*, const float*) = four_by_reference;
void (*const kCheckIndex)(int) = check_index;
void (*const kReadAt)(float*, const float*, long) = read_at;
void (*const kDivided)(int*, int) = divided;
void (*const kThroughStruct)(Pointers) = through_struct;

}  // namespace emulation_test
