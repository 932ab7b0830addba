#include "io/gguf_types.h"

#include "quant/codec.h"
#include "quant/ggml_blocks.h"

namespace shardlora {
namespace {

template <typename Block>
GgmlBlock block(Codec codec) {
  return {row_of(codec).name, Block::kValues, Block::kBytes, codec};
}

}  // namespace

std::optional<GgmlBlock> block_of(GgmlType type) {
  switch (type) {
    case GgmlType::kF32: return GgmlBlock{"F32", 1, 4, Codec::kF32};
    case GgmlType::kF16: return GgmlBlock{"F16", 1, 2, Codec::kF16};
    case GgmlType::kQ4_0: return block<ggml::Q4_0>(Codec::kQ4_0);
    case GgmlType::kQ4_1: return block<ggml::Q4_1>(Codec::kQ4_1);
    case GgmlType::kQ5_0: return block<ggml::Q5_0>(Codec::kQ5_0);
    case GgmlType::kQ5_1: return block<ggml::Q5_1>(Codec::kQ5_1);
    case GgmlType::kQ8_0: return block<ggml::Q8_0>(Codec::kQ8_0);
    case GgmlType::kQ8_1: return GgmlBlock{"Q8_1", 32, 36, {}};
    case GgmlType::kQ2_K: return block<ggml::Q2_K>(Codec::kQ2_K);
    case GgmlType::kQ3_K: return block<ggml::Q3_K>(Codec::kQ3_K);
    case GgmlType::kQ4_K: return block<ggml::Q4_K>(Codec::kQ4_K);
    case GgmlType::kQ5_K: return block<ggml::Q5_K>(Codec::kQ5_K);
    case GgmlType::kQ6_K: return block<ggml::Q6_K>(Codec::kQ6_K);
    case GgmlType::kQ8_K: return GgmlBlock{"Q8_K", 256, 292, {}};
    case GgmlType::kI8: return GgmlBlock{"I8", 1, 1, {}};
    case GgmlType::kI16: return GgmlBlock{"I16", 1, 2, {}};
    case GgmlType::kI32: return GgmlBlock{"I32", 1, 4, {}};
    case GgmlType::kI64: return GgmlBlock{"I64", 1, 8, {}};
    case GgmlType::kF64: return GgmlBlock{"F64", 1, 8, {}};
    case GgmlType::kBF16: return GgmlBlock{"BF16", 1, 2, Codec::kBF16};
  }
  return std::nullopt;
}

}  // namespace shardlora
