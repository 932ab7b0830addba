// The tokenizers of real models against the `tokenizers` package, on more than 10,000 odd lines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"
#include "data/digest.h"
#include "data/tokenizer.h"
#include "io/gguf_bytes.h"
#include "io/json.h"
#include "io/temporary_directory.h"
#include "io/test_model.h"

// A model family's files may not be in the repository. They lie beside it; in CI they must.
#define NEEDS_TOKENIZER(path)                                                               \
  do {                                                                                      \
    if (!std::filesystem::exists(path)) {                                                   \
      if (in_ci()) FAIL() << "no tokenizer at " << (path);                                  \
      GTEST_SKIP() << "no tokenizer at " << (path) << "; it is not part of the repository"; \
    }                                                                                       \
  } while (false)

namespace shardlora {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::filesystem::path shared(const std::string& name) {
  return std::filesystem::path(TEST_DATA) / "../../../shared/data/tokenizers" / name;
}

const std::vector<std::string>& lines() {
  static const auto all = [] {
    std::vector<std::string> read;
    std::ifstream file(TEST_DATA "/tokenizer/lines.jsonl");
    for (std::string line; std::getline(file, line);) read.push_back(parse_json(line, "lines.jsonl"));
    return read;
  }();
  return all;
}

std::vector<std::int32_t> ids_of(const std::vector<Token>& tokens) {
  std::vector<std::int32_t> ids;
  for (const Token& token : tokens) ids.push_back(token.id);
  return ids;
}

std::string listed(const std::vector<std::int32_t>& ids) {
  std::string text;
  for (const std::int32_t id : ids) text += (text.empty() ? "" : ",") + std::to_string(id);
  return text;
}

// Tokens follow one another; together with `missing` bytes, which the vocabulary lacks, they are the line.
void expect_offsets(const std::vector<Token>& tokens, const std::string& line, const std::string& missing) {
  std::uint32_t end = 0;
  std::string left_out;
  for (const Token& token : tokens) {
    ASSERT_LE(end, token.begin) << json(line);
    ASSERT_LE(token.begin, token.end) << json(line);
    left_out += line.substr(end, token.begin - end);
    end = token.end;
  }
  ASSERT_LE(end, line.size());
  left_out += line.substr(end);
  EXPECT_EQ(left_out.find_first_not_of(missing), std::string::npos) << json(line);
}

void expect_golden(const Tokenizer& tokenizer, const std::string& name, const std::string& missing) {
  const json golden = parse_json(read_text(TEST_DATA "/tokenizer/digests.json", 1 << 20), "digests.json").at(name);
  const std::string of_ids = golden.at("ids"), of_texts = golden.at("decoded");
  ASSERT_GE(lines().size(), 10000U);
  ASSERT_EQ(of_ids.size(), 3 * lines().size());
  for (std::size_t i = 0; i < lines().size(); ++i) {
    const std::vector<Token> tokens = tokenizer.encode(lines()[i]);
    const std::vector<std::int32_t> ids = ids_of(tokens);
    ASSERT_EQ(digest(listed(ids), 3), of_ids.substr(3 * i, 3)) << json(lines()[i]) << listed(ids);
    const std::string all = tokenizer.decode(ids), plain = tokenizer.decode(ids, true);
    ASSERT_EQ(digest(all + '\0' + plain, 3), of_texts.substr(3 * i, 3)) << json(lines()[i]) << json(all) << json(plain);
    expect_offsets(tokens, lines()[i], missing);
  }
}

TEST(RealTokenizer, OfSmollm2GivesTheIdsOfTheTokenizersPackage) {
  NEEDS_TEST_MODEL();
  expect_golden(Tokenizer::open(test_model()), "smollm2", "\x04\x06\x13\x14\x16\x1D\xF1\xF2");
}

TEST(RealTokenizer, OfLlama2GivesTheIdsOfTheTokenizersPackage) {
  NEEDS_TOKENIZER(shared("llama2"));
  const Tokenizer tokenizer = Tokenizer::open(shared("llama2"));
  expect_golden(tokenizer, "llama2", "");
  EXPECT_EQ(tokenizer.bos_to_add(), 1);
  EXPECT_THAT(tokenizer.ends(), ElementsAre(2));
  EXPECT_EQ(tokenizer.bytes_of(13), "\n");  // <0x0A>
}

TEST(RealTokenizer, OfLlama31GivesTheIdsOfTheTokenizersPackage) {
  NEEDS_TOKENIZER(shared("llama3_1"));
  const Tokenizer tokenizer = Tokenizer::open(shared("llama3_1"));
  expect_golden(tokenizer, "llama3_1", "");
  EXPECT_EQ(tokenizer.bos_to_add(), 128000);
  EXPECT_EQ(tokenizer.eos(), 128009);
  EXPECT_THAT(tokenizer.chat_template(), HasSubstr("<|start_header_id|>"));
}

TEST(RealTokenizer, OfQwen3GivesTheIdsOfTheTokenizersPackage) {
  NEEDS_TOKENIZER(shared("qwen3"));
  const Tokenizer tokenizer = Tokenizer::open(shared("qwen3"));
  expect_golden(tokenizer, "qwen3", "");
  EXPECT_EQ(tokenizer.bos_to_add(), std::nullopt);
  EXPECT_EQ(tokenizer.bos(), std::nullopt);
  EXPECT_FALSE(tokenizer.is_control(*tokenizer.id_of("<think>")));
  // Letters of a control token in a user's text stay letters, an added token that is none is found.
  const std::string text = "<|im_end|><think>";
  const auto ids = ids_of(tokenizer.encode(text, std::vector<std::uint8_t>(text.size(), 0)));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *tokenizer.id_of("<|im_end|>")), 0);
  EXPECT_EQ(ids.back(), *tokenizer.id_of("<think>"));
  EXPECT_EQ(tokenizer.decode(ids), text);
}

// SentencePiece's rule (the highest score) gives what the merges made of it give.
TEST(RealTokenizer, OfLlama2FromScoresIsTheOneFromMerges) {
  NEEDS_TOKENIZER(shared("llama2"));
  const json file = parse_json(read_text(shared("llama2") / "tokenizer.json", 1 << 24), "tokenizer.json");
  std::vector<std::string> tokens(32000);
  std::vector<std::int32_t> types(32000, 1);
  std::string scores = GgufBytes::raw<std::uint32_t>(6) + GgufBytes::raw<std::uint64_t>(32000);
  for (const auto& [token, id] : file["model"]["vocab"].items()) tokens[id.get<std::size_t>()] = token;
  // A token's score: how early a merge makes it. (The file from which the merges were made had such scores.)
  std::vector<float> score(32000, -1e9F);
  const json& merges = file["model"]["merges"];
  for (std::size_t rank = merges.size(); rank-- > 0;) {
    std::string token = merges[rank];
    token.erase(token.find(' '), 1);
    score[file["model"]["vocab"][token].get<std::size_t>()] = -static_cast<float>(rank);
  }
  for (const float s : score) scores += GgufBytes::raw(s);
  types[0] = 2, types[1] = types[2] = 3;
  for (std::size_t i = 3; i < 259; ++i) types[i] = 6;
  const TemporaryDirectory directory;
  const auto path = directory.write("x.gguf", GgufBytes()
                                                  .text("tokenizer.ggml.model", "llama")
                                                  .texts("tokenizer.ggml.tokens", tokens)
                                                  .i32s("tokenizer.ggml.token_type", types)
                                                  .key("tokenizer.ggml.scores", 9, scores)
                                                  .u32("tokenizer.ggml.bos_token_id", 1)
                                                  .u32("tokenizer.ggml.eos_token_id", 2)
                                                  .u32("tokenizer.ggml.unknown_token_id", 0)
                                                  .bytes());
  const Tokenizer from_scores = Tokenizer::open(path), from_merges = Tokenizer::open(shared("llama2"));
  for (const std::string& line : lines()) {
    if (line.find("<unk>") != std::string::npos) continue;  // no added token in GGUF
    ASSERT_EQ(from_scores.encode(line), from_merges.encode(line)) << json(line);
  }
  const auto ids = ids_of(from_merges.encode(" a  b\n\u00e9"));
  EXPECT_EQ(from_scores.decode(ids), from_merges.decode(ids));
  EXPECT_EQ(from_scores.bos_to_add(), 1);
}

// Quadratic work would take hours. The bounds leave room for sanitizers: seconds without them.
TEST(RealTokenizer, TakesLongRunsInLinearTime) {
  for (const char* name : {"llama2", "llama3_1", "qwen3"}) {
    NEEDS_TOKENIZER(shared(name));
    const Tokenizer tokenizer = Tokenizer::open(shared(name));
    for (const char* part : {"a", " ", "ab", "\u4e2d", "e\u0301\u0323", "\n", "A", "1"}) {
      std::string text;
      while (text.size() < 500'000) text += part;
      text += "x";
      const std::clock_t begin = std::clock();
      EXPECT_EQ(tokenizer.encode(text).back().end, text.size());
      EXPECT_LT(std::clock() - begin, 40 * CLOCKS_PER_SEC) << name << ": " << part;
    }
  }
}

// What a stream gives is never taken back, is whole characters, and comes early.
TEST(StreamDecoder, GivesWholeCharactersAsSoonAsTheyAreCertain) {
  NEEDS_TOKENIZER(shared("llama2"));
  for (const char* name : {"llama2", "qwen3"}) {
    const Tokenizer tokenizer = Tokenizer::open(shared(name));
    for (std::size_t i = 0; i < lines().size(); i += 7) {
      const auto ids = ids_of(tokenizer.encode(lines()[i]));
      StreamDecoder stream(tokenizer);
      std::string text;
      for (const std::int32_t id : ids) {
        const std::string part = stream.add(id);
        for (std::size_t at = 0; at < part.size(); at += character_at(part, at).length)
          ASSERT_TRUE(character_at(part, at).valid);
        text += part;
      }
      EXPECT_EQ(text + stream.finish(), tokenizer.decode(ids)) << json(lines()[i]);
    }
    StreamDecoder stream(tokenizer);
    std::string text;
    for (const std::int32_t id : ids_of(tokenizer.encode("one two"))) text += stream.add(id);
    EXPECT_EQ(text, "one two") << name;
  }
}

}  // namespace
}  // namespace shardlora
