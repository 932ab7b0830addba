// Laws of the codecs, and vectors of the reference notes.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/file.h"
#include "quant/nf4.h"
#include "quant/packed.h"

namespace shardlora {
namespace {

std::vector<float> normal_values(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02F);
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

constexpr Format kNf4{.codec = Codec::kNF4, .block = 64, .double_quant = false};
constexpr Format kNf4Double{.codec = Codec::kNF4, .block = 64, .double_quant = true};

TEST(Nf4, EncodesEveryLevelToItsOwnCodeAtEveryScale) {
  for (int exponent = -120; exponent <= 120; exponent += 5) {
    const float scale = std::ldexp(1.2345F, exponent);
    std::vector<float> values(64);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = nf4_value(static_cast<std::uint8_t>(i % 16)) * scale;
    const Packed packed(kNf4, values);
    std::vector<float> decoded(values.size());
    dequantize(packed.tensor, 0, decoded);
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(nf4_code_at(packed.tensor.sections[0], static_cast<std::int64_t>(i)), i % 16) << "scale " << scale;
      EXPECT_EQ(decoded[i], values[i]);
    }
  }
}

TEST(Nf4, PutsTheFirstValueIntoTheHighNibble) {
  std::vector<float> values(64);
  for (int k = 0; k < 64; ++k) values[static_cast<std::size_t>(k)] = static_cast<float>(k - 32) / 32.0F;
  std::string hex;
  const Packed packed(kNf4, values);
  for (const std::byte b : packed.bytes[0]) hex += fmt::format("{:02x}", static_cast<int>(b));
  EXPECT_EQ(hex, "000001111111122222333344455566677788999aaabbbccccddddeeeeeeeffff");
  EXPECT_EQ(nf4_code(std::numeric_limits<float>::quiet_NaN()), 0);
}

TEST(Nf4, IsNowhereFartherFromAValueThanHalfTheWidestGap) {
  const float half_gap = (nf4_value(1) - nf4_value(0)) / 2;
  const std::vector<float> values = normal_values(64 * 100 + 17, 1);
  const Packed packed(kNf4, values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    EXPECT_LE(std::fabs(nf4_decode(packed.tensor, at) - values[i]),
              half_gap * nf4_absmax(packed.tensor, at / 64) * 1.000001F);
  }
}

TEST(Nf4, DecodesAnyBlocksAsTheWhole) {
  const std::vector<float> values = normal_values(64 * 300 + 31, 2);
  for (const Format& format :
       {kNf4, kNf4Double, Format{.codec = Codec::kBF16}, Format{.codec = Codec::kF16}, Format{.codec = Codec::kF32}}) {
    const Packed packed(format, values);
    std::vector<float> whole(values.size());
    dequantize(packed.tensor, 0, whole);
    for (const std::size_t begin : {0UL, 64UL, 8128UL, values.size() - 31}) {
      std::vector<float> part(std::min<std::size_t>(192, values.size() - begin));
      dequantize(packed.tensor, static_cast<std::int64_t>(begin), part);
      EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(begin)))
          << name_of(format);
    }
    if (!format.dense()) {
      EXPECT_EQ(nf4_decode(packed.tensor, 12345), whole[12345]);
    }
  }
}

TEST(Nf4, DecodesToTheDtypeOfItsFormat) {
  const std::vector<float> values = normal_values(64 * 300 + 31, 4);
  for (const bool double_quant : {false, true}) {
    Packed packed({.codec = Codec::kNF4, .double_quant = double_quant}, values);
    std::vector<float> exact(values.size()), decoded(values.size());
    dequantize(packed.tensor, 0, exact);
    for (const DType dtype : {DType::kBF16, DType::kF16}) {
      packed.tensor.format.rounded_to = dtype;
      dequantize(packed.tensor, 0, decoded);
      for (std::size_t i = 0; i < values.size(); ++i)
        ASSERT_EQ(decoded[i], dtype == DType::kBF16 ? to_float(to_bf16(exact[i])) : to_float(to_f16(exact[i])));
    }
  }
}

// Levels whose last bit another program made up.
TEST(Nf4, RestoresAbsmaxWithTheMapThatLiesBesideThem) {
  Packed packed(kNf4Double, normal_values(64 * 300, 5));
  auto* nested = reinterpret_cast<Nf4Nested*>(packed.bytes[3].data());
  EXPECT_EQ(nested->map, kDynamicMap);
  const auto code = static_cast<std::size_t>(packed.bytes[1][299]);
  nested->map[code] += 1;
  const float group = reinterpret_cast<const float*>(packed.bytes[2].data())[1];
  EXPECT_EQ(nf4_absmax(packed.tensor, 299), (kDynamicMap[code] + 1) * group + nested->offset);
}

// Of what lies elsewhere only the bytes that the values need are read, and the values are those of the whole.
TEST(Nf4, DecodesRunsOfWhatLiesElsewhere) {
  const std::vector<float> values = normal_values(64 * 600 + 31, 4);
  for (const Format& format : {kNf4, kNf4Double, Format{.codec = Codec::kBF16}}) {
    const Packed packed(format, values);
    const Shape shape{std::ssize(values)};
    std::vector<float> whole(values.size());
    dequantize(packed.tensor, 0, whole);
    for (const std::size_t begin : {0UL, 64UL, 64UL * 255, 64UL * 256, 64UL * 513, values.size() - 31}) {
      std::vector<float> part(std::min<std::size_t>(192, values.size() - begin));
      std::size_t bytes = 0;
      const auto read = [&](int section, std::span<std::byte> out, std::size_t first) {
        const auto& held = packed.bytes[static_cast<std::size_t>(section)];
        ASSERT_LE(first + out.size(), held.size());
        std::copy_n(held.begin() + static_cast<std::ptrdiff_t>(first), out.size(), out.begin());
        bytes += section == 0 ? out.size() : 0;
      };
      dequantize(format, shape, read, static_cast<std::int64_t>(begin), part);
      EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(begin)))
          << name_of(format) << " from " << begin;
      EXPECT_LE(bytes, section_bytes(format, {64 * 256 + 192})[0]) << name_of(format) << " from " << begin;
    }
  }
}

TEST(Nf4, GivesTheSameBytesFromPiecesInAnyOrder) {
  const std::vector<float> values = normal_values(64 * 300 + 31, 3);
  for (const Format& format :
       {kNf4, kNf4Double, Format{.codec = Codec::kBF16}, Format{.codec = Codec::kF16}, Format{.codec = Codec::kF32}}) {
    const Packed whole(format, values);
    Packed pieces(format, std::vector<float>(values.size(), 1.0F));
    std::vector<float> absmax(static_cast<std::size_t>(scales_of(format, std::ssize(values))));
    for (const std::size_t begin : {64UL * 200, 0UL}) {
      const std::size_t end = begin == 0 ? 64 * 200 : values.size();
      encode_values(format, std::span(values).subspan(begin, end - begin), static_cast<std::int64_t>(begin),
                    pieces.sections(), absmax);
    }
    finish_sections(format, pieces.sections(), absmax);
    EXPECT_EQ(pieces.bytes, whole.bytes) << name_of(format);
  }
}

TEST(Nf4, HasTheBytesThatItsFormatSays) {
  EXPECT_EQ(section_bytes(kNf4, {64 * 3 + 1}), (SectionBytes{97, 16, 0, 0}));
  EXPECT_EQ(section_bytes(kNf4Double, {64 * 257}), (SectionBytes{32 * 257, 257, 8, 4 + 4 * kDynamicLevels}));
  EXPECT_EQ(section_bytes({.codec = Codec::kBF16}, {7}), (SectionBytes{14, 0, 0, 0}));
  EXPECT_EQ(section_bytes({.codec = Codec::kF16}, {7}), (SectionBytes{14, 0, 0, 0}));
  EXPECT_EQ(section_bytes({.codec = Codec::kF32}, {7}), (SectionBytes{28, 0, 0, 0}));
  EXPECT_EQ(name_of(kNf4Double), "nf4 (block 64, double quantisation)");
  EXPECT_EQ(name_of({Codec::kNF4, 128, false, DType::kBF16}), "nf4 (block 128, rounded to bf16)");
}

TEST(DynamicMap, HasTheBytesOfTheFormat) {
  Sha256 digest;
  digest.add(std::as_bytes(std::span(kDynamicMap)));
  EXPECT_EQ(digest.hex(), "dad4c269c3243d1705f6b979dccb61efb8d1074812ecf8d79255a82f60671763");
}

TEST(DynamicMap, EncodesEveryLevelToItsOwnCode) {
  for (std::size_t c = 0; c < kDynamicLevels; ++c) EXPECT_EQ(dynamic_code(kDynamicMap[c]), c);
  EXPECT_EQ(dynamic_code(std::numeric_limits<float>::quiet_NaN()), 0);
  EXPECT_EQ(dynamic_code(-1.0F), 0);
}

TEST(DynamicMap, GivesTheCodesOfTheReferenceNotes) {
  const std::vector<int> codes = {0,   4,   8,   13,  17,  22,  26,  31,  35,  40,  44,  48,  53,  57,  62,  77, 127,
                                  177, 192, 197, 201, 206, 210, 214, 219, 223, 228, 232, 237, 241, 246, 250, 255};
  for (int k = -16; k <= 16; ++k)
    EXPECT_EQ(dynamic_code(static_cast<float>(k) / 16), codes[static_cast<std::size_t>(k + 16)]) << k;

  const std::vector<float> absmax = {0.5F, 1.0F, 1.5F, 2.0F};
  std::array<std::byte, 4> packed{};
  float largest = 0;
  Nf4Nested nested{};
  compress_absmax(absmax, packed.data(), &largest, &nested);
  EXPECT_EQ(packed, (std::array{std::byte{0}, std::byte{47}, std::byte{207}, std::byte{255}}));
  EXPECT_EQ(largest, 0.75F);
  EXPECT_EQ(nested.offset, 1.25F);
  EXPECT_EQ(nested.map, kDynamicMap);
}

}  // namespace
}  // namespace shardlora
