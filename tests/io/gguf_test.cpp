#include "io/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "io/gguf_bytes.h"
#include "io/json.h"
#include "io/temporary_directory.h"

namespace shardlora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

const std::filesystem::path kTypes = TEST_DATA "/io/types.gguf";

TEST(Gguf, ReadsMetadataOfEveryKind) {
  const GgufFile file(kTypes);
  EXPECT_EQ(file.text("general.architecture"), "llama");
  EXPECT_EQ(file.integer("llama.block_count"), 2);
  EXPECT_EQ(file.real("llama.rope.freq_base"), 100000.0);
  EXPECT_EQ(file.real("llama.block_count"), 2.0);
  EXPECT_TRUE(file.boolean("a.bool"));
  EXPECT_THAT(file.integers("an.array.of.integers"), ElementsAre(1, -2, 3));
  EXPECT_THAT(file.reals("an.array.of.reals"), ElementsAre(0.5, -1.25));
  EXPECT_THAT(file.texts("an.array.of.strings"), ElementsAre("", "two", "d\u00e9j\u00e0"));
}

TEST(Gguf, TellsWhichKeyIsMissingOrOfAnotherKind) {
  const GgufFile file(kTypes);
  EXPECT_FALSE(file.has("no.such.key"));
  EXPECT_EQ(file.integer("no.such.key", 7), 7);
  EXPECT_EQ(file.text("no.such.key", "x"), "x");
  EXPECT_THAT([&] { file.text("no.such.key"); },
              ThrowsMessage<Error>(HasSubstr("types.gguf: has no metadata key no.such.key")));
  EXPECT_THAT([&] { file.text("a.bool"); }, ThrowsMessage<Error>(HasSubstr("metadata key a.bool is not a string")));
  EXPECT_THAT([&] { file.integer("a.bool", 7); }, ThrowsMessage<Error>(HasSubstr("is not an integer")));
}

TEST(Gguf, GivesShapesOutermostFirst) {
  const GgufFile file(kTypes);
  EXPECT_EQ(file.tensors().size(), 6U);
  EXPECT_EQ(file.tensor("q4_1").shape, (Shape{2, 3, 64}));
  EXPECT_EQ(file.tensor("q4_1").type, GgmlType::kQ4_1);
  EXPECT_EQ(file.tensor("q4_1").bytes, 2U * 3 * 2 * 20);
  EXPECT_EQ(file.find("no.such.tensor"), nullptr);
  EXPECT_THROW(file.tensor("no.such.tensor"), Error);
}

TEST(Gguf, DecodesEveryTypeAsTheReferencePackageDoes) {
  const GgufFile file(kTypes);
  const auto expected = parse_json(read_text(TEST_DATA "/io/types.json", 1 << 20), "types.json");
  ASSERT_EQ(expected.size(), 6U);
  file.check_supported();
  for (const auto& [name, bits] : expected.items()) {
    std::vector<float> values(2 * 3 * 64);
    file.read_f32(file.tensor(name), values);
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]), bits[i].get<std::uint32_t>()) << name << " " << i;
  }
}

// Random blocks (scripts/goldens/io.py), by the gguf package.
TEST(Gguf, DecodesLargerBlocksAsTheReferencePackageDoes) {
  const GgufFile file(TEST_DATA "/io/blocks.gguf");
  const auto expected = parse_json(read_text(TEST_DATA "/io/blocks.json", 1 << 20), "blocks.json");
  ASSERT_EQ(expected.size(), 7U);
  file.check_supported();
  for (const auto& [name, bits] : expected.items()) {
    std::vector<float> values(512), second(256);
    file.read_f32(file.tensor(name), values);
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]), bits[i].get<std::uint32_t>()) << name << " " << i;
    file.read_f32(file.tensor(name), second, 256);
    EXPECT_TRUE(std::equal(second.begin(), second.end(), values.begin() + 256)) << name;
  }
}

// x[i] = ((37 i mod 256) - 128) / 64 (1 + i / 64), i < 256: evenly spread values, so that the error is a step /
// sqrt(12): of 15 and 63 steps a sub-block, and f16 and 6 bits for scales.
TEST(Gguf, DecodesTheLargerBlocksOfTheFormatsReference) {
  const std::pair<std::uint32_t, std::pair<const char*, double>> cases[] = {
      {12,
       {"ae236e2f90d0e6e091cfe3e1be39ff7e90c2e5072a5c7ea0c2e5073a5c7fa0c3f5083a5c8fa0c3f5083a5d8fa1d3f518e406285a7caec2"
        "e406385a7caec2f406385a8caec2f416385a8ca0d2f416386a274a6c8fa0c2e5274a6c8fa0c305284a6d8fa0c305284a6d8fa1c306284b"
        "6d8f5c7ea0c2f5072a5c7fa0c3f5073a5c8fa0d3f5083a5d8fa1d3f5183a6d8fa1d3",
        0.06}},
      {14,
       {"0079d34cb51e97016ad33da60f88f25bc33da7117be04ab42e98f26cd04ab51f9903ad31db650faa14ae42ec7610aa24a14de3993fd50b"
        "b15cf2984ee41ab06c10b60ba14ee48a2fc51ab05df3993ed4fb51ab0167ce24ea40aaf057bd13d93098f15bb41dc62f89e24ba40eb711"
        "7ad34cb52f88f06ad33da61079e15bc43d97f82c1d514286f7f82c1d514286fbe82c115d4e8bf7e420115d4ebbf7e420115db27544081b"
        "dfeeb17544081bdfe2b17574382bef92814574382fdf9281457438201d1de3c2c03d39aba6605d758d8a800a18",
        0.02}},
  };
  const TemporaryDirectory directory;
  for (const auto& [type, block] : cases) {
    const GgufFile file(
        directory.write("block.gguf", GgufBytes().tensor("t", {256}, type, 0).data(from_hex(block.first)).bytes()));
    std::vector<float> values(256);
    file.read_f32(file.tensor("t"), values);
    double error = 0, size = 0;
    for (int i = 0; i < 256; ++i) {
      const double x = ((i * 37 % 256) - 128) / 64.0 * (1 + i / 64);
      error += std::pow(values[static_cast<std::size_t>(i)] - x, 2);
      size += x * x;
    }
    EXPECT_LT(std::sqrt(error / size), block.second) << type;
    EXPECT_GT(error, 0) << type;
  }
}

TEST(Gguf, ReadsAPartOfATensorAsOfTheWhole) {
  const GgufFile file(kTypes);
  for (const GgufTensor& tensor : file.tensors()) {
    std::vector<float> whole(2 * 3 * 64), part(64);
    file.read_f32(tensor, whole);
    file.read_f32(tensor, part, 96);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 96)) << tensor.name;
  }
}

// Blocks of x[i] = (i - 16) / 16, i < 32. What they decode to follows from the formulas, in exact f32 products.
TEST(Gguf, DecodesTheBlocksOfTheFormatsReference) {
  struct Case {
    std::uint32_t type;
    const char* hex;
    float tolerance;  // half a step of the block, plus the rounding of its f16 scale and minimum
  };
  const Case cases[] = {
      {8, "082081899199a1a9b1b9c0c8d0d8e0e8f0f8000810182028303840474f575f676f77", 0.5F / 127 + 0x1p-11F},
      {2, "0030809191a2a2b3b3c4c4d5d5e6e6f7f7f8", 0.5F / 8 + 0x1p-11F},
      {3, "223000bc80809191a2a2b3b3c4c4d5d5e6e6f7f7", 1.9375F / 15 / 2 + 0x1p-10F},
  };
  const TemporaryDirectory directory;
  for (const Case& c : cases) {
    const auto path =
        directory.write("block.gguf", GgufBytes().tensor("t", {32}, c.type, 0).data(from_hex(c.hex)).bytes());
    const GgufFile file(path);
    std::vector<float> values(32);
    file.read_f32(file.tensor("t"), values);
    for (int i = 0; i < 32; ++i)
      EXPECT_NEAR(values[static_cast<std::size_t>(i)], static_cast<float>(i - 16) / 16, c.tolerance) << c.type;
  }
}

TEST(Gguf, ReadsTensorsLargerThanItsBuffer) {
  std::vector<std::uint16_t> bits(300'000);
  std::iota(bits.begin(), bits.end(), std::uint16_t{0});
  for (auto& b : bits) b = static_cast<std::uint16_t>(b & 0x7BFF);  // no NaN
  const TemporaryDirectory directory;
  const std::string data(reinterpret_cast<const char*>(bits.data()), bits.size() * 2);
  const GgufFile file(directory.write("big.gguf", GgufBytes().tensor("t", {300, 1000}, 1, 0).data(data).bytes()));
  std::vector<float> values(bits.size());
  file.read_f32(file.tensor("t"), values);
  for (std::size_t i = 0; i < bits.size(); ++i) ASSERT_EQ(values[i], to_float(F16{bits[i]})) << i;
}

TEST(Gguf, ListsTheTypesThatItReadsWhereAFileHasOthers) {
  const TemporaryDirectory directory;
  const GgufFile file(directory.write("k.gguf", GgufBytes()
                                                    .tensor("blk.0.attn_q.weight", {256}, 15, 0)
                                                    .tensor("new", {256}, 77, 320)
                                                    .data(std::string(320, '\0'))
                                                    .bytes()));
  EXPECT_THAT([&] { file.check_supported(); },
              ThrowsMessage<Error>(testing::AllOf(HasSubstr("Q8_K (1 tensors), type 77 (1 tensors)"),
                                                  HasSubstr("supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1"))));
  std::vector<float> values(256);
  EXPECT_THAT([&] { file.read_f32(file.tensor("new"), values); },
              ThrowsMessage<Error>(HasSubstr("tensor new is type 77")));
}

}  // namespace
}  // namespace shardlora
