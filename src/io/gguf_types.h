// The block formats of ggml tensors: sizes of all known ones, and the decoding of those that we read.
// Layouts: ggml's ggml-quants.h. All arithmetic is f32.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "io/gguf.h"

namespace shardlora {

struct GgmlBlock {
  const char* name;
  std::int64_t values;  // per block
  std::uint64_t bytes;  // per block
};
std::optional<GgmlBlock> block_of(GgmlType type);  // nothing where the number is not known

// Decodes whole blocks; `bytes` holds exactly those of out.size() values. can_read types only.
void decode_blocks(GgmlType type, std::span<const std::byte> bytes, std::span<float> out);

}  // namespace shardlora
