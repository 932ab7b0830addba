#include "data/tokenizer/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "data/tokenizer/code_points.h"
#include "data/tokenizer/gguf_pre_types.h"
#include "data/tokenizer/json_part.h"
#include "io/json.h"
#include "sanitized.h"

namespace shardlora {
namespace {

using ::testing::ElementsAre;

PreTokenizer named(const std::string& name) {
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  gguf_pre_type(name, "test").add_to(normalizer, pre_tokenizer);
  return pre_tokenizer;
}

std::vector<std::string> words(const PreTokenizer& pre_tokenizer, const std::string& text) {
  std::vector<std::string> out;
  const Words words = pre_tokenizer.apply(AlignedText(text, 0));
  for (const TextRange& word : words.ranges) {
    const std::uint32_t begin = words.text.origin(word.begin), end = words.text.origin(word.end);
    out.push_back(text.substr(begin, end - begin));
  }
  return out;
}
std::vector<std::string> words(const std::string& name, const std::string& text) { return words(named(name), text); }

std::string utf8(std::uint32_t c) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | (c >> 6)), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | (c >> 12)), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | (c >> 18)), tail(12), tail(6), tail(0)};
}

constexpr std::uint32_t kBlock = 4096, kLast = 0x40000, kStep = kSanitized ? 8 * kBlock : kBlock;

std::string first_digits_of_sha256(const std::string& bytes) { return sha256_of(bytes).substr(0, 16); }

TEST(PreTokenizer, CutsAsGpt2Does) {
  EXPECT_THAT(words("gpt-2", "I'm  here 2024!\n\n x"),
              ElementsAre("I", "'m", " ", " here", " 2024", "!", "\n\n", " x"));
  EXPECT_THAT(words("gpt-2", ""), ElementsAre());
  EXPECT_THAT(words("gpt-2", " \n"), ElementsAre(" \n"));
}

TEST(PreTokenizer, IsolatesDigitsForSmollm) {
  EXPECT_THAT(words("smollm", "at 2024"), ElementsAre("at", " ", "2", "0", "2", "4"));
  EXPECT_THAT(words("smollm", "x\u00bd"), ElementsAre("x", "\u00bd"));
}

TEST(CodePoints, HoldNoLettersBeyondTheThirdPlane) {
  for (const char* name : {"L", "N", "P", "S", "Z"})
    EXPECT_LT(CodePoints::named(name)->ranges().back().last, 0x40000U) << name;
}

TEST(CodePoints, OfAllCategoriesAreEveryCodePointOnce) {
  CodePoints all;
  std::size_t count = 0;
  for (const char* name : {"L", "M", "N", "P", "S", "Z", "C"}) {
    all = all | *CodePoints::named(name);
    for (const CodePoints::Range& r : CodePoints::named(name)->ranges()) count += r.last - r.first + 1;
  }
  EXPECT_EQ(all, CodePoints(0, CodePoints::kCount - 1));
  EXPECT_EQ(count, CodePoints::kCount);
}

// Around every code point below, where the words end is what the `tokenizers` package says.
TEST(PreTokenizer, CutsAroundEveryCodePointAsTheTokenizersPackageDoes) {
  const auto golden = parse_json(read_text(TEST_DATA "/tokenizer/code_points.json", 1 << 20), "code_points.json");
  ASSERT_EQ(golden.size(), 13U);
  for (const auto& [name, hashes] : golden.items()) {
    if (name.starts_with("NF")) continue;
    const PreTokenizer pre_tokenizer = named(name);
    ASSERT_EQ(hashes.size(), kLast / kBlock);
    for (std::uint32_t first = 0; first < kLast; first += kStep) {
      std::string lengths;
      for (std::uint32_t c = first; c < first + kBlock; ++c) {
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        const std::string s = utf8(c), line = "x" + s + " " + s + "1" + s + "'s." + s + "  " + s + "\n";
        for (const std::string& word : words(pre_tokenizer, line)) lengths += static_cast<char>(word.size());
      }
      EXPECT_EQ(first_digits_of_sha256(lengths), hashes[first / kBlock].get<std::string>())
          << name << " from " << first;
    }
  }
}

// Also of code points younger than the package's tables of normalisation, whatever utf8proc makes of them.
TEST(Normalizer, MakesOfEveryCodePointWhatTheTokenizersPackageMakes) {
  const auto golden = parse_json(read_text(TEST_DATA "/tokenizer/code_points.json", 1 << 20), "code_points.json");
  for (const char* name : {"NFC", "NFD", "NFKC", "NFKD"}) {
    const Normalizer normalizer = Normalizer::of({nlohmann::json{{"type", name}}, "test"});
    const auto& hashes = golden.at(name);
    ASSERT_EQ(hashes.size(), kLast / kBlock);
    for (std::uint32_t first = 0; first < kLast; first += kStep) {
      std::string block;
      for (std::uint32_t c = first; c < first + kBlock; ++c) {
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        const std::string s = utf8(c),
                          line = "a" + s + "\u0323\u0301" + s + "\u0334x" + s + "\u1161\u11a8 \u0345" + s + "\n";
        block += normalizer.apply(AlignedText(line, 0)).text();
      }
      EXPECT_EQ(first_digits_of_sha256(block), hashes[first / kBlock].get<std::string>()) << name << " from " << first;
    }
  }
}

}  // namespace
}  // namespace shardlora
