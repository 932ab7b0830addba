#include "quant/dense.h"

namespace shardlora {
namespace {

template <typename T>
SectionBytes bytes_of(const Format&, const Shape& shape) {
  return {static_cast<std::size_t>(shape.numel()) * sizeof(T), 0, 0, 0};
}

std::int64_t grain(const Format&) { return 1; }

template <typename T>
void encode(const Format&, std::span<const float> values, std::int64_t begin, const Sections& sections,
            std::span<float>) {
  T* const out = reinterpret_cast<T*>(sections[0]) + begin;
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = from_float<T>(values[i]);
}

template <typename T>
void decode(const PackedTensor& tensor, std::int64_t begin, std::span<float> out) {
  const T* const values = reinterpret_cast<const T*>(tensor.sections[0]) + begin;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = to_float(values[i]);
}

template <typename T>
constexpr CodecRow row(Codec codec, const char* name) {
  return {.codec = codec,
          .name = name,
          .dtype = DTypeOf<T>::value,
          .section_bytes = bytes_of<T>,
          .grain = grain,
          .decode = decode<T>,
          .encode = encode<T>,
          .finish = nullptr,
          .text = nullptr};
}

}  // namespace

constinit const CodecRow kF32Row = row<float>(Codec::kF32, "f32");
constinit const CodecRow kBF16Row = row<BF16>(Codec::kBF16, "bf16");
constinit const CodecRow kF16Row = row<F16>(Codec::kF16, "f16");

}  // namespace shardlora
