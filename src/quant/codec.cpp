#include "quant/codec.h"

#include "quant/dense.h"
#include "quant/ggml.h"
#include "quant/nf4.h"

namespace shardlora {
namespace {

constexpr const CodecRow* kRows[] = {&kF32Row,  &kBF16Row, &kF16Row,  &kNf4Row,  &kQ4_0Row, &kQ4_1Row, &kQ5_0Row,
                                     &kQ5_1Row, &kQ8_0Row, &kQ2_KRow, &kQ3_KRow, &kQ4_KRow, &kQ5_KRow, &kQ6_KRow};

}  // namespace

std::span<const CodecRow* const> codecs() { return kRows; }

const CodecRow& row_of(Codec codec) {
  const auto at = static_cast<std::size_t>(codec);
  CHECK(at < std::size(kRows) && kRows[at]->codec == codec, "codec {} has no row in its place", at);
  return *kRows[at];
}

const CodecRow* find_codec(std::string_view name) {
  for (const CodecRow* row : kRows)
    if (row->name == name) return row;
  return nullptr;
}

bool Format::dense() const { return row_of(codec).dtype.has_value(); }

Format dense_format(DType dtype) {
  for (const CodecRow* row : kRows)
    if (row->dtype == dtype) return {.codec = row->codec};
  CHECK(false, "no dense format of {}", name_of(dtype));
  return {};
}

DType dtype_of(Codec codec) {
  const CodecRow& row = row_of(codec);
  CHECK(row.dtype, "{} is not a dense codec", row.name);
  return *row.dtype;
}

std::string name_of(const Format& format) {
  const CodecRow& row = row_of(format.codec);
  return row.text == nullptr ? row.name : row.text(format);
}

SectionBytes section_bytes(const Format& format, const Shape& shape) {
  return row_of(format.codec).section_bytes(format, shape);
}

}  // namespace shardlora
