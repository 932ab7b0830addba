#include "data/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <fstream>
#include <random>
#include <thread>

#include "base/error.h"
#include "io/gguf_bytes.h"
#include "io/json.h"
#include "io/temporary_directory.h"
#include "io/test_model.h"

namespace shardlora {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::string kGoldens = TEST_DATA "/tokenizer/";

struct Row {
  std::string text;
  std::vector<std::int32_t> ids;
  std::string decoded, plain;  // with and without control tokens
};

std::vector<Row> golden(const std::string& name) {
  std::vector<Row> rows;
  std::ifstream file(kGoldens + name);
  for (std::string line; std::getline(file, line);) {
    const auto row = parse_json(line, name);
    const std::string text = row[0];
    const std::string decoded = row.size() == 4 ? row[2] : row[0], plain = row.size() == 4 ? row[3] : row[0];
    rows.push_back({text, row[1], decoded, plain});
  }
  return rows;
}

Tokenizer tiny() { return Tokenizer::open(kGoldens + "tiny.gguf"); }

std::vector<std::int32_t> ids_of(const std::vector<Token>& tokens) {
  std::vector<std::int32_t> ids;
  for (const Token& token : tokens) ids.push_back(token.id);
  return ids;
}

void expect_golden(const Tokenizer& tokenizer, const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    ASSERT_EQ(ids_of(tokenizer.encode(row.text)), row.ids) << nlohmann::json(row.text);
    ASSERT_EQ(tokenizer.decode(row.ids), row.decoded) << nlohmann::json(row.text);
    ASSERT_EQ(tokenizer.decode(row.ids, true), row.plain) << nlohmann::json(row.text);
  }
}

// Tokens follow one another, and each one's slice of the text is what it stands for.
void expect_offsets(const Tokenizer& tokenizer, const std::vector<Row>& rows, bool every_byte_has_a_token) {
  for (const Row& row : rows) {
    std::uint32_t end = 0;
    std::string skipped;
    for (const Token& token : tokenizer.encode(row.text)) {
      ASSERT_LE(end, token.begin) << nlohmann::json(row.text);
      ASSERT_LT(token.begin, token.end);
      skipped += row.text.substr(end, token.begin - end);
      const std::string slice = row.text.substr(token.begin, token.end - token.begin);
      if (every_byte_has_a_token) {
        ASSERT_EQ(slice, tokenizer.bytes_of(token.id)) << nlohmann::json(row.text);
      }
      end = token.end;
    }
    ASSERT_LE(end, row.text.size());
    skipped += row.text.substr(end);
    if (every_byte_has_a_token) {
      ASSERT_EQ(skipped, "") << nlohmann::json(row.text);
    }
    // Bytes that SmolLM2's vocabulary lacks.
    ASSERT_EQ(skipped.find_first_not_of("\x04\x06\x13\x14\x16\x1D\xF1\xF2"), std::string::npos)
        << nlohmann::json(row.text);
  }
}

TEST(Tokenizer, KnowsTheModelsNames) {
  NEEDS_TEST_MODEL();
  const Tokenizer tokenizer = Tokenizer::open(test_model());
  EXPECT_EQ(tokenizer.vocab_size(), 49152);
  EXPECT_EQ(tokenizer.eos(), 2);
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.id_of("<|im_end|>"), 2);
  EXPECT_TRUE(tokenizer.is_control(16));
  EXPECT_FALSE(tokenizer.is_control(17));
  EXPECT_THAT(tokenizer.chat_template(), HasSubstr("<|im_start|>"));
}

TEST(Tokenizer, GivesTheIdsOfTheTokenizersPackageForATinyVocabulary) {
  const auto rows = golden("tiny.jsonl");
  ASSERT_GE(rows.size(), 800U);
  const Tokenizer tokenizer = tiny();
  expect_golden(tokenizer, rows);
  expect_offsets(tokenizer, rows, true);
}

TEST(Tokenizer, MatchesControlTokensOnlyWhereTheyMayBe) {
  const Tokenizer tokenizer = tiny();
  const std::string text = "x<|end|><|end|>";
  const std::int32_t end = *tokenizer.id_of("<|end|>"), x = *tokenizer.id_of("x");
  const auto encode = [&](const std::vector<std::uint8_t>& flags) { return ids_of(tokenizer.encode(text, flags)); };
  EXPECT_THAT(encode({}), ElementsAre(x, end, end));
  EXPECT_THAT(encode(std::vector<std::uint8_t>(text.size(), 1)), ElementsAre(x, end, end));

  for (std::size_t forbidden = 0; forbidden < text.size(); ++forbidden) {
    std::vector<std::uint8_t> flags(text.size(), 1);
    flags[forbidden] = 0;
    const auto ids = encode(flags);
    const auto found = std::count(ids.begin(), ids.end(), end);
    EXPECT_EQ(found, forbidden == 0 ? 2 : 1) << forbidden;
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
  const auto none = encode(std::vector<std::uint8_t>(text.size(), 0));
  EXPECT_EQ(std::count(none.begin(), none.end(), end), 0);
}

TEST(Tokenizer, FallsBackToAShorterControlTokenThatMayBe) {
  const Tokenizer tokenizer = tiny();
  const std::string text = "<|a|><|b";  // both itself and, in its first five bytes, <|a|>
  std::vector<std::uint8_t> flags(text.size(), 1);
  EXPECT_THAT(ids_of(tokenizer.encode(text, flags)), ElementsAre(*tokenizer.id_of(text)));
  flags.back() = 0;
  EXPECT_THAT(ids_of(tokenizer.encode(text, flags)),
              ElementsAre(*tokenizer.id_of("<|a|>"), *tokenizer.id_of("<|"), *tokenizer.id_of("b")));
}

TEST(Tokenizer, MatchesUserDefinedTokensEverywhere) {
  const Tokenizer tokenizer = tiny();
  const std::string text = "<tab>";
  EXPECT_THAT(ids_of(tokenizer.encode(text, std::vector<std::uint8_t>(5, 0))), ElementsAre(*tokenizer.id_of("<tab>")));
  EXPECT_FALSE(tokenizer.is_control(*tokenizer.id_of("<tab>")));
}

TEST(Tokenizer, CountsOffsetsInBytesWithinACharacter) {
  const std::vector<Token> tokens = tiny().encode("\U0001FAE9");  // rare enough to be four bytes
  ASSERT_EQ(tokens.size(), 4U);
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(tokens[i].begin, i);
    EXPECT_EQ(tokens[i].end, i + 1);
  }
}

TEST(Tokenizer, DecodesHalfACharacterToOneReplacement) {
  const Tokenizer tokenizer = tiny();
  const auto ids = ids_of(tokenizer.encode("a\U0001FAE9"));
  EXPECT_EQ(tokenizer.decode(std::span(ids).first(4)), "a\uFFFD");
  EXPECT_EQ(tokenizer.decode(std::span(ids).last(1)), "\uFFFD");
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const Tokenizer tokenizer = tiny();
  for (const char* text : {"ab\xFF", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80"})
    EXPECT_THROW(tokenizer.encode(text), Error) << text;
  EXPECT_THAT([&] { tokenizer.encode("ab\xFF"); }, ThrowsMessage<Error>(HasSubstr("not UTF-8 at byte 2")));
}

TEST(Tokenizer, GivesTheSameFromManyThreads) {
  const Tokenizer tokenizer = tiny();
  const auto rows = golden("tiny.jsonl");
  std::vector<std::thread> threads;
  std::array<std::size_t, 4> wrong{};
  for (std::size_t& count : wrong)
    threads.emplace_back([&] {
      for (const Row& row : rows) count += ids_of(tokenizer.encode(row.text)) != row.ids;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ::testing::Each(0U));
}

// Quadratic merging would take hours.
TEST(Tokenizer, TakesAMegabyteWithoutWordBoundaries) {
  const Tokenizer tokenizer = tiny();
  for (const char* letter : {"a", " ", "\u00e9", "="}) {
    std::string text;
    while (text.size() < 1'000'000) text += letter;
    const std::clock_t begin = std::clock();
    EXPECT_EQ(tokenizer.encode(text).back().end, text.size());
    EXPECT_LT(std::clock() - begin, 60 * CLOCKS_PER_SEC) << letter;  // 0.3 s without sanitizers
  }
}

// A scan for the best pair and a queue of pairs, on either side of the length where one takes over.
TEST(Bpe, MergesLongWordsLikeShortOnes) {
  const auto vocabulary = std::make_shared<Vocabulary>();
  const std::vector<std::string> tokens = {"a", "b", "ab", "aa", "abab", "aaa", "bb", "bbaa", "ababaaa", "aaaa"};
  for (std::size_t id = 0; id < tokens.size(); ++id) vocabulary->add(tokens[id], static_cast<std::int64_t>(id), "test");
  const std::vector<Bpe::Merge> merges = {{0, 1, 2, 0}, {0, 0, 3, 1}, {2, 2, 4, 2}, {3, 0, 5, 3},
                                          {1, 1, 6, 4}, {6, 3, 7, 5}, {4, 5, 8, 6}, {3, 3, 9, 7}};
  const Bpe bpe(vocabulary, std::vector<std::uint8_t>(tokens.size(), 1), merges, {});
  // The definition: merge the leftmost pair of the lowest rank until there is none.
  const auto naive = [&](std::string_view word) {
    std::vector<std::int32_t> ids;
    for (const char c : word) ids.push_back(c - 'a');
    for (bool merged = true; merged;) {
      merged = false;
      for (std::size_t rank = 0; rank < merges.size() && !merged; ++rank)
        for (std::size_t i = 0; i + 1 < ids.size() && !merged; ++i)
          if (ids[i] == merges[rank].left && ids[i + 1] == merges[rank].right) {
            ids[i] = merges[rank].merged;
            ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1);
            merged = true;
          }
    }
    return ids;
  };
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string word;
    for (std::size_t n = random() % 120; n > 0; --n) word += random() % 3 == 0 ? 'b' : 'a';
    std::vector<Symbol> symbols;
    bpe.encode(word, symbols);
    std::vector<std::int32_t> ids;
    std::uint32_t end = 0;
    for (const Symbol& s : symbols) {
      ids.push_back(s.id);
      EXPECT_EQ(s.begin, std::exchange(end, s.end));
    }
    ASSERT_EQ(ids, naive(word)) << word;
    ASSERT_EQ(end, word.size());
  }
}

GgufBytes small_vocabulary() {
  return GgufBytes()
      .text("tokenizer.ggml.model", "gpt2")
      .text("tokenizer.ggml.pre", "gpt-2")
      .u32("tokenizer.ggml.eos_token_id", 0);
}

std::string error_of(const GgufBytes& file) {
  const TemporaryDirectory directory;
  try {
    Tokenizer::open(directory.write("x.gguf", file.bytes()));
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("x.gguf"));
    return error.what();
  }
  return "";
}

TEST(Tokenizer, ListsWhatItSupportsWhereAFileWantsMore) {
  EXPECT_THAT(error_of(GgufBytes().text("tokenizer.ggml.model", "t5")), HasSubstr("supported are: gpt2"));
  EXPECT_THAT(error_of(GgufBytes().text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "viking")),
              AllOf(HasSubstr("\"viking\" is not supported; supported are: smollm, "), HasSubstr("deepseek-v3")));
  EXPECT_THAT(error_of(GgufBytes().text("tokenizer.ggml.model", "gpt2")), HasSubstr("does not say how"));
}

TEST(Tokenizer, RefusesVocabulariesThatContradictThemselves) {
  const auto with = [](const std::vector<std::string>& tokens, const std::vector<std::string>& merges,
                       const std::vector<std::int32_t>& types) {
    return error_of(small_vocabulary()
                        .texts("tokenizer.ggml.tokens", tokens)
                        .texts("tokenizer.ggml.merges", merges)
                        .i32s("tokenizer.ggml.token_type", types));
  };
  EXPECT_EQ(with({"a", "b", "ab"}, {"a b"}, {1, 1, 1}), "");
  EXPECT_THAT(with({}, {}, {}), HasSubstr("vocabulary of 0"));
  EXPECT_THAT(with({"a", "a"}, {}, {1, 1}), HasSubstr("twice"));
  EXPECT_THAT(with({"a", "b"}, {"a b"}, {1, 1}), HasSubstr("speaks of \"ab\""));
  EXPECT_THAT(with({"a", "b", "ab"}, {"ab"}, {1, 1, 1}), HasSubstr("not two tokens"));
  EXPECT_THAT(with({"a", "b", "ab"}, {"a b "}, {1, 1, 1}), HasSubstr("not two tokens"));
  EXPECT_THAT(with({"a", "b", "ab"}, {"a b", "a b"}, {1, 1, 1}), HasSubstr("there twice"));
  EXPECT_THAT(with({"a", "b"}, {}, {1}), HasSubstr("2 tokens and 1 token types"));
  EXPECT_THAT(with({"a", "b"}, {}, {1, 9}), HasSubstr("unknown type 9"));
  EXPECT_THAT(with({"a", ""}, {}, {1, 3}), HasSubstr("0 bytes"));
  EXPECT_THAT(with({"a", std::string(300, 'x')}, {}, {1, 4}), HasSubstr("300 bytes"));
  EXPECT_THAT(error_of(GgufBytes()
                           .text("tokenizer.ggml.model", "gpt2")
                           .text("tokenizer.ggml.pre", "gpt-2")
                           .u32("tokenizer.ggml.eos_token_id", 1)
                           .texts("tokenizer.ggml.tokens", {"a"})
                           .texts("tokenizer.ggml.merges", {})
                           .i32s("tokenizer.ggml.token_type", {1})),
              HasSubstr("outside the vocabulary"));
}

}  // namespace
}  // namespace shardlora
