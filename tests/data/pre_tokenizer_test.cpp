#include "data/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "base/error.h"
#include "base/file.h"
#include "data/unicode_classes.h"
#include "io/json.h"

namespace shardlora {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> words(const std::string& name, const std::string& text) {
  std::vector<std::string> out;
  PreTokenizer::named(name, "test").split(text, [&](std::size_t begin, std::size_t end) {
    out.push_back(text.substr(begin, end - begin));
  });
  return out;
}

std::string utf8(std::uint32_t c) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | (c >> 6)), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | (c >> 12)), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | (c >> 18)), tail(12), tail(6), tail(0)};
}

std::string first_digits_of_sha256(const std::string& bytes) {
  unsigned char digest[32];
  EVP_Digest(bytes.data(), bytes.size(), digest, nullptr, EVP_sha256(), nullptr);
  std::string text;
  for (int i = 0; i < 8; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

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

TEST(UnicodeClasses, AreEmptyBeyondTheThirdPlane) {
  for (std::uint32_t c = 0x40000; c < 0x110100; ++c) ASSERT_EQ(classes_of(c), kOther) << c;
}

// Around every code point below, where the words end is what the `tokenizers` package says.
TEST(PreTokenizer, CutsAroundEveryCodePointAsTheTokenizersPackageDoes) {
  const auto golden = parse_json(read_text(TEST_DATA "/tokenizer/code_points.json", 1 << 20), "code_points.json");
  ASSERT_EQ(golden.size(), 2U);
  for (const auto& [name, hashes] : golden.items()) {
    const PreTokenizer pre_tokenizer = PreTokenizer::named(name, "test");
    ASSERT_EQ(hashes.size(), 0x40000U / 4096);
    for (std::uint32_t first = 0; first < 0x40000; first += 4096) {
      std::string lengths;
      for (std::uint32_t c = first; c < first + 4096; ++c) {
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        const std::string s = utf8(c), line = "x" + s + " " + s + "1" + s + "'s." + s + "  " + s + "\n";
        pre_tokenizer.split(line,
                            [&](std::size_t begin, std::size_t end) { lengths += static_cast<char>(end - begin); });
      }
      EXPECT_EQ(first_digits_of_sha256(lengths), hashes[first / 4096].get<std::string>()) << name << " from " << first;
    }
  }
}

}  // namespace
}  // namespace shardlora
