// Parity with bitsandbytes' CPU backend on the tensors of scripts/goldens/quant.py.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "quant/nf4.h"
#include "quant/packed.h"
#include "quant/read_values.h"

namespace shardlora {
namespace {

struct Golden {
  std::string name;
  Format format;
  std::vector<float> values, absmax, nested, decoded;
  std::vector<std::byte> codes, cpu_absmax, gpu_absmax;
  float offset = 0;
};

std::vector<Golden> goldens() {
  std::ifstream in(TEST_DATA "/quant/nf4.bin", std::ios::binary);
  std::vector<Golden> all;
  while (in.peek() != std::char_traits<char>::eof()) {
    Golden g;
    const auto letters = read_values<char>(in, read_values<std::uint32_t>(in, 1)[0]);
    g.name.assign(letters.begin(), letters.end());
    g.format = {.codec = Codec::kNF4, .block = static_cast<int>(read_values<std::uint32_t>(in, 1)[0])};
    const std::size_t n = read_values<std::uint32_t>(in, 1)[0], block = static_cast<std::size_t>(g.format.block);
    const std::size_t blocks = (n + block - 1) / block;
    g.values = read_values<float>(in, n);
    g.codes = read_values<std::byte>(in, (n + 1) / 2);
    g.absmax = read_values<float>(in, blocks);
    g.offset = read_values<float>(in, 1)[0];
    g.cpu_absmax = read_values<std::byte>(in, blocks);
    g.gpu_absmax = read_values<std::byte>(in, blocks);
    g.nested = read_values<float>(in, (blocks + kNestedBlock - 1) / kNestedBlock);
    g.decoded = read_values<float>(in, n);
    EXPECT_TRUE(in.good()) << "nf4.bin is cut short";
    all.push_back(std::move(g));
  }
  return all;
}

std::vector<float> floats(const std::vector<std::byte>& bytes) {
  std::vector<float> out(bytes.size() / sizeof(float));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

float ulp(float x) { return std::nextafter(std::fabs(x), std::numeric_limits<float>::infinity()) - std::fabs(x); }

TEST(Nf4, GivesTheCodesAndAbsmaxOfBitsandbytes) {
  const auto all = goldens();
  ASSERT_EQ(all.size(), 17U);
  for (const Golden& g : all) {
    const Packed packed(g.format, g.values);
    EXPECT_EQ(packed.bytes[0], g.codes) << g.name;
    EXPECT_EQ(floats(packed.bytes[1]), g.absmax) << g.name;
  }
}

TEST(Nf4, DecodesToTheValuesOfBitsandbytes) {
  for (const Golden& g : goldens()) {
    const Packed packed(g.format, g.values);
    std::vector<float> decoded(g.values.size());
    dequantize(packed.tensor, 0, decoded);
    EXPECT_EQ(decoded, g.decoded) << g.name;
  }
}

TEST(Nf4, DoubleQuantisationKeepsTheCodesAndTheOffsetToOneUlp) {
  for (Golden& g : goldens()) {
    g.format.double_quant = true;
    const Packed packed(g.format, g.values);
    EXPECT_EQ(packed.bytes[0], g.codes) << g.name;
    EXPECT_NEAR(floats(packed.bytes[3])[0], g.offset, ulp(g.offset)) << g.name;
    const std::vector<float> nested = floats(packed.bytes[2]);
    ASSERT_EQ(nested.size(), g.nested.size()) << g.name;
    // A group's largest distance from the offset moves as far as the offset does.
    for (std::size_t i = 0; i < nested.size(); ++i)
      EXPECT_NEAR(nested[i], g.nested[i], ulp(g.offset) + ulp(g.nested[i])) << g.name;
  }
}

// The GPU's search in its own words (scripts/goldens/quant.py), on the very numbers that bitsandbytes searched for.
TEST(DynamicMap, FindsTheCodesOfTheGpuSearch) {
  for (const Golden& g : goldens()) {
    for (std::size_t b = 0; b < g.absmax.size(); ++b) {
      const float inverse = 1.0F / g.nested[b / kNestedBlock];
      EXPECT_EQ(dynamic_code((g.absmax[b] - g.offset) * inverse), static_cast<std::uint8_t>(g.gpu_absmax[b]))
          << g.name << " block " << b;
    }
  }
}

// bitsandbytes' CPU backend rounds to 65,536 points before it searches: ours is nowhere farther from the value than its
// level is, and not nearer by more than that rounding moves (half a step of 2/65535, for each of two levels).
TEST(DynamicMap, IsAsNearAsTheCpuBackendOfBitsandbytes) {
  int same = 0, blocks = 0;
  for (const Golden& g : goldens()) {
    for (std::size_t b = 0; b < g.absmax.size(); ++b) {
      const float nested = g.nested[b / kNestedBlock];
      if (nested == 0) continue;
      const float x = (g.absmax[b] - g.offset) * (1.0F / nested);
      if (!std::isfinite(x)) continue;
      const float ours = std::fabs(x - kDynamicMap[dynamic_code(x)]);
      const float theirs = std::fabs(x - kDynamicMap[static_cast<std::uint8_t>(g.cpu_absmax[b])]);
      EXPECT_LE(ours, theirs + 1e-7F) << g.name << " block " << b;
      EXPECT_LE(theirs - ours, 2.0F / 65535.0F + 1e-6F) << g.name << " block " << b;
      same += dynamic_code(x) == static_cast<std::uint8_t>(g.cpu_absmax[b]) ? 1 : 0;
      ++blocks;
    }
  }
  EXPECT_GE(same, blocks * 98 / 100) << "of " << blocks;
}

}  // namespace
}  // namespace shardlora
