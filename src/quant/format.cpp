#include "quant/format.h"

namespace shardlora {

SectionBytes section_bytes(const Format& format, std::int64_t numel) {
  const auto n = static_cast<std::size_t>(numel);
  switch (format.codec) {
    case Codec::kF32:
    case Codec::kBF16: return {n * size_of(dtype_of(format.codec)), 0, 0, 0};
    case Codec::kNF4: break;
  }
  const auto block = static_cast<std::size_t>(format.block);
  const std::size_t blocks = (n + block - 1) / block;
  const std::size_t codes = (n + 1) / 2;
  if (!format.double_quant) return {codes, blocks * sizeof(float), 0, 0};
  return {codes, blocks, (blocks + kNestedBlock - 1) / kNestedBlock * sizeof(float), sizeof(float)};
}

Format dense_format(DType dtype) {
  DCHECK(dtype == DType::kF32 || dtype == DType::kBF16, "no dense format of {}", name_of(dtype));
  return {.codec = dtype == DType::kF32 ? Codec::kF32 : Codec::kBF16};
}

DType dtype_of(Codec codec) {
  DCHECK(codec != Codec::kNF4, "nf4 is not a dense codec");
  return codec == Codec::kF32 ? DType::kF32 : DType::kBF16;
}

std::string name_of(const Format& format) {
  if (format.dense()) return std::string(name_of(dtype_of(format.codec)));
  return fmt::format("nf4 (block {}{})", format.block, format.double_quant ? ", double quantisation" : "");
}

}  // namespace shardlora
