#include "quant/ggml.h"

#include "quant/ggml_blocks.h"

namespace shardlora {
namespace {

template <typename Block>
SectionBytes block_bytes(const Format&, const Shape& shape) {
  CHECK(shape.numel() % Block::kValues == 0, "{} is no whole blocks of {} values", shape.text(), Block::kValues);
  return {static_cast<std::size_t>(shape.numel() / Block::kValues) * Block::kBytes, 0, 0, 0};
}

template <typename Block>
std::int64_t block_values(const Format&) {
  return Block::kValues;
}

template <typename Block>
void decode_blocks(const PackedTensor& tensor, std::int64_t begin, std::span<float> out) {
  const std::byte* block = tensor.sections[0] + begin / Block::kValues * Block::kBytes;
  CHECK(out.size() % Block::kValues == 0, "{} values are no whole blocks", out.size());
  for (float *to = out.data(), *end = to + out.size(); to != end; block += Block::kBytes) {
    for (int g = 0; g < Block::kValues / Block::kGroup; ++g, to += Block::kGroup) {
      const ggml::Group group = ggml::group_of<Block>(block, g);
      for (int i = 0; i < Block::kGroup; ++i) {
        to[i] = static_cast<float>(Block::code(block, g, i)) * group.scale;
        if constexpr (Block::kOffset) to[i] += group.offset;
      }
    }
  }
}

template <typename Block>
constexpr CodecRow block_row(Codec codec, const char* name) {
  return {.codec = codec,
          .name = name,
          .dtype = std::nullopt,
          .section_bytes = block_bytes<Block>,
          .grain = block_values<Block>,
          .run = nullptr,
          .decode = decode_blocks<Block>,
          .encode = nullptr,
          .finish = nullptr,
          .text = nullptr};
}

}  // namespace

constinit const CodecRow kQ4_0Row = block_row<ggml::Q4_0>(Codec::kQ4_0, "Q4_0");
constinit const CodecRow kQ4_1Row = block_row<ggml::Q4_1>(Codec::kQ4_1, "Q4_1");
constinit const CodecRow kQ5_0Row = block_row<ggml::Q5_0>(Codec::kQ5_0, "Q5_0");
constinit const CodecRow kQ5_1Row = block_row<ggml::Q5_1>(Codec::kQ5_1, "Q5_1");
constinit const CodecRow kQ8_0Row = block_row<ggml::Q8_0>(Codec::kQ8_0, "Q8_0");
constinit const CodecRow kQ2_KRow = block_row<ggml::Q2_K>(Codec::kQ2_K, "Q2_K");
constinit const CodecRow kQ3_KRow = block_row<ggml::Q3_K>(Codec::kQ3_K, "Q3_K");
constinit const CodecRow kQ4_KRow = block_row<ggml::Q4_K>(Codec::kQ4_K, "Q4_K");
constinit const CodecRow kQ5_KRow = block_row<ggml::Q5_K>(Codec::kQ5_K, "Q5_K");
constinit const CodecRow kQ6_KRow = block_row<ggml::Q6_K>(Codec::kQ6_K, "Q6_K");

}  // namespace shardlora
