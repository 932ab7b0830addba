#include "quant/dense.h"

namespace shardlora {
namespace {

template <typename T>
SectionBytes dense_bytes(const Format&, const Shape& shape) {
  return {static_cast<std::size_t>(shape.numel()) * sizeof(T), 0, 0, 0};
}

std::int64_t one_value(const Format&) { return 1; }

template <typename T>
void encode_dense(const Format&, std::span<const float> values, std::int64_t begin, const Sections& sections,
                  std::span<float>) {
  T* const out = reinterpret_cast<T*>(sections[0]) + begin;
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = from_float<T>(values[i]);
}

template <typename T>
void decode_dense(const PackedTensor& tensor, std::int64_t begin, std::span<float> out) {
  const T* const values = reinterpret_cast<const T*>(tensor.sections[0]) + begin;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = to_float(values[i]);
}

template <typename T>
constexpr CodecRow dense_row(Codec codec, const char* name) {
  return {.codec = codec,
          .name = name,
          .dtype = DTypeOf<T>::value,
          .section_bytes = dense_bytes<T>,
          .grain = one_value,
          .run = nullptr,
          .decode = decode_dense<T>,
          .encode = encode_dense<T>,
          .finish = nullptr,
          .text = nullptr};
}

}  // namespace

constinit const CodecRow kF32Row = dense_row<float>(Codec::kF32, "f32");
constinit const CodecRow kBF16Row = dense_row<BF16>(Codec::kBF16, "bf16");
constinit const CodecRow kF16Row = dense_row<F16>(Codec::kF16, "f16");

}  // namespace shardlora
