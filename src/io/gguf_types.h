// The types of ggml tensors: sizes of all known ones, and the codecs of those that we read.
#pragma once

#include <cstdint>
#include <optional>

#include "io/gguf.h"

namespace shardlora {

struct GgmlBlock {
  const char* name;
  std::int64_t values;         // per block
  std::uint64_t bytes;         // per block
  std::optional<Codec> codec;  // nothing: it cannot be read
};
std::optional<GgmlBlock> block_of(GgmlType type);  // nothing where the number is not known

}  // namespace shardlora
