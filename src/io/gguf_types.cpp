#include "io/gguf_types.h"

#include <bit>
#include <cstring>

#include "io/gguf_k_blocks.h"

namespace shardlora {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are read as they lie");

constexpr std::size_t kValues = 32;  // per block of Q4_0, Q4_1, Q8_0
constexpr std::size_t kHalf = kValues / 2;

template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

float half_at(const std::byte* from) { return to_float(F16{load<std::uint16_t>(from)}); }

template <typename T>
void decode_plain(const std::byte* from, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = to_float(load<T>(from + i * sizeof(T)));
}

// f16 d, i8 q[32]: q d
void decode_q8_0(const std::byte* from, float* out) {
  const float d = half_at(from);
  for (std::size_t i = 0; i < kValues; ++i) out[i] = static_cast<float>(load<std::int8_t>(from + 2 + i)) * d;
}

// f16 d, u8 q[16]: (q - 8) d; low nibbles are values 0..15, high ones 16..31.
void decode_q4_0(const std::byte* from, float* out) {
  const float d = half_at(from);
  for (std::size_t i = 0; i < kHalf; ++i) {
    const int q = std::to_integer<int>(from[2 + i]);
    out[i] = static_cast<float>((q & 15) - 8) * d;
    out[i + kHalf] = static_cast<float>((q >> 4) - 8) * d;
  }
}

// f16 d, f16 m, u8 q[16]: q d + m
void decode_q4_1(const std::byte* from, float* out) {
  const float d = half_at(from), m = half_at(from + 2);
  for (std::size_t i = 0; i < kHalf; ++i) {
    const int q = std::to_integer<int>(from[4 + i]);
    out[i] = static_cast<float>(q & 15) * d + m;
    out[i + kHalf] = static_cast<float>(q >> 4) * d + m;
  }
}

}  // namespace

std::optional<GgmlBlock> block_of(GgmlType type) {
  switch (type) {
    case GgmlType::kF32: return GgmlBlock{"F32", 1, 4};
    case GgmlType::kF16: return GgmlBlock{"F16", 1, 2};
    case GgmlType::kQ4_0: return GgmlBlock{"Q4_0", 32, 18};
    case GgmlType::kQ4_1: return GgmlBlock{"Q4_1", 32, 20};
    case GgmlType::kQ5_0: return GgmlBlock{"Q5_0", 32, 22};
    case GgmlType::kQ5_1: return GgmlBlock{"Q5_1", 32, 24};
    case GgmlType::kQ8_0: return GgmlBlock{"Q8_0", 32, 34};
    case GgmlType::kQ8_1: return GgmlBlock{"Q8_1", 32, 36};
    case GgmlType::kQ2_K: return GgmlBlock{"Q2_K", 256, 84};
    case GgmlType::kQ3_K: return GgmlBlock{"Q3_K", 256, 110};
    case GgmlType::kQ4_K: return GgmlBlock{"Q4_K", 256, 144};
    case GgmlType::kQ5_K: return GgmlBlock{"Q5_K", 256, 176};
    case GgmlType::kQ6_K: return GgmlBlock{"Q6_K", 256, 210};
    case GgmlType::kQ8_K: return GgmlBlock{"Q8_K", 256, 292};
    case GgmlType::kI8: return GgmlBlock{"I8", 1, 1};
    case GgmlType::kI16: return GgmlBlock{"I16", 1, 2};
    case GgmlType::kI32: return GgmlBlock{"I32", 1, 4};
    case GgmlType::kI64: return GgmlBlock{"I64", 1, 8};
    case GgmlType::kF64: return GgmlBlock{"F64", 1, 8};
    case GgmlType::kBF16: return GgmlBlock{"BF16", 1, 2};
  }
  return std::nullopt;
}

void decode_blocks(GgmlType type, std::span<const std::byte> bytes, std::span<float> out) {
  const GgmlBlock block = block_of(type).value();
  const std::size_t blocks = out.size() / static_cast<std::size_t>(block.values);
  CHECK(bytes.size() == blocks * block.bytes, "{} bytes for {} blocks of {}", bytes.size(), blocks, block.name);
  const auto each = [&](auto decode) {
    for (std::size_t b = 0; b < blocks; ++b)
      decode(bytes.data() + b * block.bytes, out.data() + b * static_cast<std::size_t>(block.values));
  };
  switch (type) {
    case GgmlType::kF32: return decode_plain<float>(bytes.data(), out);
    case GgmlType::kF16: return decode_plain<F16>(bytes.data(), out);
    case GgmlType::kBF16: return decode_plain<BF16>(bytes.data(), out);
    case GgmlType::kQ8_0: return each(decode_q8_0);
    case GgmlType::kQ4_0: return each(decode_q4_0);
    case GgmlType::kQ4_1: return each(decode_q4_1);
    case GgmlType::kQ5_0: return each(decode_q5_0);
    case GgmlType::kQ5_1: return each(decode_q5_1);
    case GgmlType::kQ2_K: return each(decode_q2_k);
    case GgmlType::kQ3_K: return each(decode_q3_k);
    case GgmlType::kQ4_K: return each(decode_q4_k);
    case GgmlType::kQ5_K: return each(decode_q5_k);
    case GgmlType::kQ6_K: return each(decode_q6_k);
    default: CHECK(false, "{} cannot be decoded", block.name);
  }
}

}  // namespace shardlora
