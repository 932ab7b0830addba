// The blocks of GGUF files to values: code * scale + offset in f32, rounded one by one, then once to y. Bit for bit what
// quant/ggml.cpp decodes, rounded to y.
//
// A thread decodes a run that fills 16 bytes of y, within one group. Blocks have odd sizes, so bytes are read one by
// one; the threads of a block of values read the same lines.
#include "backend/cuda/kernels.h"
#include "backend/cuda/separate.h"
#include "backend/cuda/vector.h"
#include "backend/float_type.h"
#include "quant/ggml_blocks.h"

namespace shardlora::cuda {
namespace {

template <typename Block, typename T>
__global__ void __launch_bounds__(kThreads) decode_kernel(T* y, const std::byte* blocks, std::int64_t n, bool vectors) {
  constexpr int kRun = kWidth<T>;
  static_assert(Block::kGroup % kRun == 0);
  const std::int64_t begin = run_begin(kRun);
  if (begin >= n) return;
  const std::byte* block = blocks + begin / Block::kValues * Block::kBytes;
  const int in_block = static_cast<int>(begin % Block::kValues), g = in_block / Block::kGroup,
            first = in_block % Block::kGroup;
  const ggml::Group group = ggml::group_of<Block>(block, g);
  float values[kRun];
#pragma unroll
  for (int k = 0; k < kRun; ++k) {
    Separate value = Separate(static_cast<float>(Block::code(block, g, first + k))) * group.scale;
    if constexpr (Block::kOffset) value += group.offset;
    values[k] = value.value;
  }
  store(y + begin, values, n - begin, vectors);
}

}  // namespace

void dequantize_ggml(Tensor y, const PackedTensor& w, cudaStream_t stream) {
  ggml::with_block(w.format.codec, [&]<typename Block>(std::type_identity<Block>) {
    with_float_type(y.dtype, [&]<typename T>(std::type_identity<T>) {
      const std::int64_t n = y.numel();
      launch(decode_kernel<Block, T>, blocks_for(n, kThreads * kWidth<T>), kThreads, 0, stream, y.as<T>(),
             w.sections[0], n, aligned(y.data));
    });
  });
}

}  // namespace shardlora::cuda
