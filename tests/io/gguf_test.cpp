#include "io/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
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
                                                    .tensor("blk.0.attn_q.weight", {256}, 12, 0)
                                                    .tensor("new", {256}, 77, 160)
                                                    .data(std::string(160, '\0'))
                                                    .bytes()));
  EXPECT_THAT([&] { file.check_supported(); },
              ThrowsMessage<Error>(testing::AllOf(HasSubstr("Q4_K (1 tensors), type 77 (1 tensors)"),
                                                  HasSubstr("supported are F32, F16, BF16, Q8_0, Q4_0 and Q4_1"))));
  std::vector<float> values(256);
  EXPECT_THAT([&] { file.read_f32(file.tensor("new"), values); },
              ThrowsMessage<Error>(HasSubstr("tensor new is type 77")));
}

}  // namespace
}  // namespace shardlora
