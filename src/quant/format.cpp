#include "quant/format.h"

namespace shardlora {

SectionBytes section_bytes(const Format& format, std::int64_t numel) {
  const auto n = static_cast<std::size_t>(numel);
  switch (format.codec) {
    case Codec::kF32:
    case Codec::kBF16:
    case Codec::kF16: return {n * size_of(dtype_of(format.codec)), 0, 0, 0};
    case Codec::kNF4: break;
  }
  const auto block = static_cast<std::size_t>(format.block);
  const std::size_t blocks = (n + block - 1) / block;
  const std::size_t codes = (n + 1) / 2;
  if (!format.double_quant) return {codes, blocks * sizeof(float), 0, 0};
  return {codes, blocks, (blocks + kNestedBlock - 1) / kNestedBlock * sizeof(float), sizeof(float)};
}

Format dense_format(DType dtype) {
  switch (dtype) {
    case DType::kF32: return {.codec = Codec::kF32};
    case DType::kBF16: return {.codec = Codec::kBF16};
    case DType::kF16: return {.codec = Codec::kF16};
    default: CHECK(false, "no dense format of {}", name_of(dtype));
  }
  return {};
}

DType dtype_of(Codec codec) {
  switch (codec) {
    case Codec::kF32: return DType::kF32;
    case Codec::kBF16: return DType::kBF16;
    case Codec::kF16: return DType::kF16;
    case Codec::kNF4: CHECK(false, "nf4 is not a dense codec");
  }
  return DType::kF32;
}

std::string name_of(const Format& format) {
  if (format.dense()) return std::string(name_of(dtype_of(format.codec)));
  return fmt::format("nf4 (block {}{})", format.block, format.double_quant ? ", double quantisation" : "");
}

}  // namespace shardlora
