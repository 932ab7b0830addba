// What lies in a model's folder besides the vocabulary, and folders that are wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <ctime>
#include <fstream>

#include "base/error.h"
#include "data/tokenizer.h"
#include "data/tokenizer/json_part.h"
#include "io/temporary_directory.h"

namespace shardlora {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

json small_file() {
  return json::parse(R"({
    "added_tokens": [
      {"id": 4, "content": "<s>", "special": true, "normalized": false},
      {"id": 5, "content": "</s>", "special": true, "normalized": false},
      {"id": 6, "content": "<end>", "special": true, "normalized": false}],
    "normalizer": null, "pre_tokenizer": null, "decoder": {"type": "Fuse"},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}}},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<unk>": 3}, "merges": [["a", "b"]]}})");
}

struct Folder {
  TemporaryDirectory directory;
  json file = small_file(), config = {{"eos_token", "</s>"}, {"bos_token", {{"content", "<s>"}}}};

  Tokenizer open() const {
    directory.write("tokenizer.json", file.dump());
    directory.write("tokenizer_config.json", config.dump());
    return Tokenizer::open(directory.path());
  }
  std::string error() const {
    try {
      open();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
};

std::vector<std::int32_t> ids_of(const std::vector<Token>& tokens) {
  std::vector<std::int32_t> ids;
  for (const Token& token : tokens) ids.push_back(token.id);
  return ids;
}

TEST(TokenizerFolder, SaysWhatEndsAnAnswer) {
  const Folder folder;
  EXPECT_THAT(folder.open().ends(), ElementsAre(5));
  folder.directory.write("config.json", R"({"eos_token_id": 6})");
  EXPECT_THAT(folder.open().ends(), ElementsAre(5, 6));
  folder.directory.write("generation_config.json", R"({"eos_token_id": [5, 4]})");
  EXPECT_THAT(folder.open().ends(), ElementsAre(5, 4));
  EXPECT_EQ(folder.open().eos(), 5);
}

TEST(TokenizerFolder, TakesTheEndFromTheModelWhereTheTokenizerNamesNone) {
  Folder folder;
  folder.config = json::object();
  EXPECT_THAT(folder.error(), HasSubstr("give eos_token in tokenizer_config.json"));
  folder.directory.write("config.json", R"({"text_config": {"eos_token_id": [6, 5]}})");
  EXPECT_EQ(folder.open().eos(), 6);
  folder.directory.write("config.json", R"({"eos_token_id": 7})");
  EXPECT_THAT(folder.error(), AllOf(HasSubstr("config.json"), HasSubstr("id 7 is not in the vocabulary")));
}

TEST(TokenizerFolder, KnowsWhatRawTextWantsInFront) {
  Folder folder;
  EXPECT_EQ(folder.open().bos_to_add(), 4);
  folder.config["add_bos_token"] = false;
  EXPECT_EQ(folder.open().bos_to_add(), std::nullopt);
  EXPECT_EQ(folder.open().bos(), 4);
  folder.file["post_processor"] = {{"type", "ByteLevel"}};
  folder.config.erase("add_bos_token");
  EXPECT_EQ(folder.open().bos_to_add(), std::nullopt);
  folder.config["add_bos_token"] = true;
  EXPECT_EQ(folder.open().bos_to_add(), 4);
  folder.config["bos_token"] = nullptr;
  EXPECT_EQ(folder.open().bos_to_add(), std::nullopt);
}

TEST(TokenizerFolder, TakesTheChatTemplateFromAFileBeforeTheConfig) {
  Folder folder;
  EXPECT_EQ(folder.open().chat_template(), "");
  folder.config["chat_template"] = "of the config";
  EXPECT_EQ(folder.open().chat_template(), "of the config");
  folder.config["chat_template"] = {{{"name", "tool_use"}, {"template", "T"}},
                                    {{"name", "default"}, {"template", "D"}}};
  EXPECT_EQ(folder.open().chat_template(), "D");
  EXPECT_EQ(folder.open().chat_templates().at("tool_use"), "T");
  folder.directory.write("chat_template.jinja", "of the file");
  EXPECT_EQ(folder.open().chat_template(), "of the file");
  EXPECT_EQ(folder.open().chat_templates().size(), 2U);
  folder.config.erase("chat_template");
  std::filesystem::create_directory(folder.directory.path() / "additional_chat_templates");
  folder.directory.write("additional_chat_templates/rag.jinja", "R");
  EXPECT_EQ(folder.open().chat_templates().at("rag"), "R");
}

TEST(TokenizerFolder, TellsHowToGetAFileThatIsNotThere) {
  const TemporaryDirectory directory;
  EXPECT_THAT([&] { Tokenizer::open(directory.path()); },
              ::testing::ThrowsMessage<Error>(HasSubstr("get the whole folder")));
  directory.write("tokenizer.model", "x");
  EXPECT_THAT([&] { Tokenizer::open(directory.path()); },
              ::testing::ThrowsMessage<Error>(AllOf(HasSubstr("tokenizer.model"), HasSubstr("save_pretrained"))));
}

TEST(TokenizerFolder, TakesTokensThatOnlyOtherFilesNameAsTransformersDoes) {
  const json golden = json::parse(std::ifstream(TEST_DATA "/tokenizer/folder_tokens.json"));
  for (const json& c : golden["cases"]) {
    const TemporaryDirectory directory;
    directory.write("tokenizer.json", golden["tokenizer"].dump());
    for (const auto& [name, content] : c["files"].items()) directory.write(name, content.dump());
    const Tokenizer tokenizer = Tokenizer::open(directory.path());
    for (std::size_t i = 0; i < golden["texts"].size(); ++i) {
      const auto text = golden["texts"][i].get<std::string>();
      const auto expected = c["ids"][i].get<std::vector<std::int32_t>>();
      // A pad_token that nothing writes has no place in the vocabulary.
      if (text.ends_with("<q>") && c["files"].contains("special_tokens_map.json")) continue;
      EXPECT_EQ(ids_of(tokenizer.encode(text)), expected) << text << "\n" << c["files"].dump();
    }
  }
}

TEST(TokenizerFolder, MarksWhatOtherFilesCallSpecial) {
  Folder folder;
  folder.config["added_tokens_decoder"] = {{"7", {{"content", "<x>"}, {"special", true}}}, {"8", {{"content", "<y>"}}}};
  const Tokenizer tokenizer = folder.open();
  EXPECT_TRUE(tokenizer.is_control(7));
  EXPECT_FALSE(tokenizer.is_control(8));
  EXPECT_EQ(tokenizer.vocab_size(), 9);
  // What a row says is a token only where it is not special.
  EXPECT_THAT(ids_of(tokenizer.encode("<x><y>", std::vector<std::uint8_t>(6, 0))), ElementsAre(8));
  folder.config["pad_token"] = "<pad>";
  EXPECT_EQ(folder.open().vocab_size(), 9) << "no row of the embeddings is needed for what nothing writes";
}

TEST(TokenizerFolder, RefusesTokensOfOtherFilesThatDoNotFit) {
  const auto error_with = [](const json& decoder, const json& added = json()) {
    Folder folder;
    if (!decoder.is_null()) folder.config["added_tokens_decoder"] = decoder;
    if (!added.is_null()) folder.directory.write("added_tokens.json", added.dump());
    return folder.error();
  };
  const auto named = [](const char* content) { return json{{"content", content}}; };
  EXPECT_THAT(error_with({{"5", named("<x>")}}),
              AllOf(HasSubstr("tokenizer_config.json"), HasSubstr("the id 5 is that of \"</s>\" and of \"<x>\"")));
  EXPECT_THAT(error_with({{"1", named("<x>")}}), HasSubstr("the id 1 is that of \"b\" and of \"<x>\""));
  EXPECT_THAT(error_with({{"7", named("<x>")}, {"8", named("<x>")}}), HasSubstr("\"<x>\" has the id 8 here and 7"));
  EXPECT_THAT(error_with({{"7", named("ab")}}), HasSubstr("\"ab\" has the id 7 here and 2 in the vocabulary"));
  EXPECT_THAT(error_with({{"9", named("<x>")}}), HasSubstr("the id 9, but the next one that is free is 7"));
  EXPECT_THAT(error_with({{"x", named("<x>")}}), HasSubstr("\"x\" is no id of a token"));
  EXPECT_THAT(error_with({{"7", "<x>"}}), HasSubstr("an object is expected"));
  EXPECT_THAT(error_with(nullptr, {{"<x>", 5}}),
              AllOf(HasSubstr("added_tokens.json"), HasSubstr("the id 5 is that of \"</s>\" and of \"<x>\"")));
  EXPECT_THAT(error_with(nullptr, {{"<x>", 7}, {"<y>", 7}}), HasSubstr("the id 7 is that of \"<x>\" and of \"<y>\""));
  EXPECT_THAT(error_with(nullptr, {{"<x>", "7"}}), HasSubstr("must be an integer"));
  EXPECT_EQ(error_with(nullptr, {{"<x>", 7}, {"</s>", 5}, {"ab", 2}}), "no error");
}

TEST(TokenizerFolder, RefusesAFileThatContradictsItself) {
  const auto error_with = [](const char* pointer, const json& value) {
    Folder folder;
    folder.file[json::json_pointer(pointer)] = value;
    return folder.error();
  };
  EXPECT_EQ(error_with("/version", "1.0"), "no error");
  EXPECT_THAT(error_with("/model/vocab/ab", 1), HasSubstr("the id 1 is that of"));
  EXPECT_THAT(error_with("/model/vocab/ab", -1), HasSubstr("has the id -1"));
  EXPECT_THAT(error_with("/model/vocab/ab", 1'000'000'000), HasSubstr("has the id 1000000000"));
  EXPECT_THAT(error_with("/model/vocab/ab", "2"), HasSubstr("not an integer"));
  EXPECT_THAT(error_with("/model/vocab", json::array()), HasSubstr("must map tokens to ids"));
  EXPECT_THAT(error_with("/model/merges/0", {"a", "c"}), HasSubstr("speaks of \"c\""));
  EXPECT_THAT(error_with("/model/merges/0", {"b", "a"}), HasSubstr("speaks of \"ba\""));
  EXPECT_THAT(error_with("/model/merges/0", "a b c"), HasSubstr("merge 0 is not two tokens"));
  EXPECT_THAT(error_with("/model/merges/0", 7), HasSubstr("merge 0 is not two tokens"));
  EXPECT_THAT(error_with("/model/unk_token", "<x>"), HasSubstr("unk_token \"<x>\""));
  EXPECT_THAT(error_with("/model/end_of_word_suffix", "</w>"), HasSubstr("\"end_of_word_suffix\" is not supported"));
  EXPECT_THAT(error_with("/model/type", "Unigram"), AllOf(HasSubstr("\"Unigram\" is not supported"), HasSubstr("BPE")));
  EXPECT_THAT(error_with("/added_tokens/0/id", 2), HasSubstr("the id 2 is that of"));
  EXPECT_THAT(error_with("/added_tokens/0/content", "ab"), HasSubstr("has the id 4 here and 2"));
  EXPECT_THAT(error_with("/added_tokens/0/content", ""), HasSubstr("0 bytes"));
  EXPECT_THAT(error_with("/added_tokens/0/content", std::string(300, 'x')), HasSubstr("300 bytes"));
  EXPECT_THAT(error_with("/added_tokens/0", 1), HasSubstr("an object is expected"));
  EXPECT_THAT(error_with("/normalizer", {{"type", "Nmt"}}),
              AllOf(HasSubstr("tokenizer.json: normalizer"), HasSubstr("\"Nmt\" is not supported")));
  EXPECT_THAT(error_with("/pre_tokenizer", {{"type", "UnicodeScripts"}}),
              HasSubstr("\"UnicodeScripts\" is not supported"));
  EXPECT_THAT(error_with("/decoder", {{"type", "CTC"}}), HasSubstr("\"CTC\" is not supported"));
  EXPECT_THAT(error_with("/post_processor", {{"type", "X"}}), HasSubstr("\"X\" is not supported"));
  EXPECT_THAT(error_with("/post_processor/special_tokens/<s>/ids/0", 99),
              HasSubstr("the id 99 is not in the vocabulary"));
  EXPECT_THAT(error_with("/normalizer", {{"type", "Replace"}, {"content", ""}}), HasSubstr("\"pattern\" is missing"));
  Folder folder;
  folder.config["eos_token"] = "<nowhere>";
  EXPECT_THAT(folder.error(), HasSubstr("eos_token \"<nowhere>\" is not in the vocabulary"));
  folder.config["eos_token"] = "</s>";
  const std::string whole = folder.file.dump();
  for (std::size_t cut = 1; cut < whole.size(); cut += 37) {
    folder.directory.write("tokenizer.json", whole.substr(0, cut));
    EXPECT_THAT([&] { Tokenizer::open(folder.directory.path()); },
                ::testing::ThrowsMessage<Error>(AllOf(HasSubstr("tokenizer.json"), HasSubstr("byte"))));
  }
}

TEST(Pattern, OfAFileThatCannotBeUsedSaysWhy) {
  const auto error = [](const std::string& regex) -> std::string {
    try {
      Pattern::regex(regex, "f.json: normalizer");
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("f.json: normalizer"));
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error("(a"), HasSubstr("a group is not closed"));
  EXPECT_THAT(error("a)"), HasSubstr("parenthesis too many"));
  EXPECT_THAT(error("[a"), HasSubstr("ends too early"));
  EXPECT_THAT(error("*a"), HasSubstr("nothing to repeat"));
  EXPECT_THAT(error("[b-a]"), HasSubstr("ends before it begins"));
  EXPECT_THAT(error("\\p{Klingon}"), HasSubstr("\\p{Klingon} is not supported"));
  EXPECT_THAT(error("(a)\\1"), HasSubstr("\\1 is not supported"));
  EXPECT_THAT(error("(?(1)a)"), HasSubstr("only the groups"));
  EXPECT_EQ(error("(?i)a"), "no error");
  EXPECT_THAT(error("a(?i)b"), HasSubstr("only the groups"));
  EXPECT_THAT(error("a{5000}"), HasSubstr("more than 1000 times"));
  EXPECT_THAT(error(std::string(100, '(') + std::string(100, ')')), HasSubstr("nested deeper"));
  EXPECT_THAT(error(std::string(40000, 'a')), HasSubstr("40000 bytes"));
  EXPECT_THAT(error("((((a{900}){900}){900}){900})"), HasSubstr("cannot be used"));
  EXPECT_THAT(error("(?<=a+)b"), HasSubstr("cannot be used"));
  std::string every;
  for (int i = 0; i < 300; ++i) every += fmt::format("\\x{{{:x}}}|", 0x4E00 + 2 * i);
  EXPECT_THAT(error(every), HasSubstr("more than 256 kinds"));
}

// Exponential and quadratic patterns end with an error after seconds.
TEST(Pattern, OfAFileThatNeverEndsIsGivenUp) {
  const auto search = [](const char* regex, const std::string& text) {
    Pattern::regex(regex, "test").find_all(text, [](std::size_t, std::size_t) {});
  };
  const std::clock_t begin = std::clock();
  EXPECT_THROW(search("(a*)*b", std::string(5000, 'a') + "cb"), Error);
  EXPECT_THROW(search("(a|aa)+b", std::string(5000, 'a') + "cb"), Error);
  EXPECT_THROW(search("(?:a|b|ab)*c", std::string(100000, 'a') + "dc"), Error);
  EXPECT_THROW(search("a+b", std::string(500'000, 'a') + "cb"), Error);
  EXPECT_LT(std::clock() - begin, 60 * CLOCKS_PER_SEC);
}

TEST(Bpe, NeverSpellsAControlTokenOfLetters) {
  Folder folder;
  folder.file["model"]["ignore_merges"] = true;
  folder.file["model"]["vocab"]["</s>"] = 5;
  const Tokenizer tokenizer = folder.open();
  EXPECT_THAT(ids_of(tokenizer.encode("</s>")), ElementsAre(5));
  EXPECT_THAT(ids_of(tokenizer.encode("</s>", std::vector<std::uint8_t>(4, 0))), ElementsAre());
  // Nor by merges.
  Folder merged;
  EXPECT_THAT(ids_of(merged.open().encode("ab")), ElementsAre(2));
  merged.config["added_tokens_decoder"] = {{"2", {{"content", "ab"}, {"special", true}}}};
  EXPECT_THAT(ids_of(merged.open().encode("ab")), ElementsAre(2));
  EXPECT_THAT(ids_of(merged.open().encode("ab", std::vector<std::uint8_t>(2, 0))), ElementsAre(0, 1));
}

TEST(Tokenizer, SkipsIdsThatTheVocabularyLacks) {
  const Tokenizer tokenizer = Folder().open();
  EXPECT_EQ(tokenizer.decode(std::vector<std::int32_t>{0, 99, 1, -5, 5}), "ab</s>");
  EXPECT_EQ(tokenizer.decode(std::vector<std::int32_t>{0, 99, 1, -5, 5}, true), "ab");
}

TEST(Decoder, StripsFromBothEnds) {
  const Decoder decoder = Decoder::of({json::parse(R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
    {"type": "Strip", "content": "e", "start": 1, "stop": 2}]})"),
                                       "test"});
  for (const auto& [parts, text] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"e", "e", "a", "ee", "e"}, "eae"}, {{"a"}, "a"}, {{"ab", "e", "c"}, "abec"}, {{"ee", "eea"}, "eeea"}}) {
    Decoder::Stream stream(decoder);
    for (const std::string& part : parts) stream.take(part);
    stream.finish();
    EXPECT_EQ(stream.text, text);
  }
}

}  // namespace
}  // namespace shardlora
