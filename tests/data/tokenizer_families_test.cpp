// Every kind of part of a tokenizer.json against the `tokenizers` package, on tiny models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "data/digest.h"
#include "data/tokenizer.h"
#include "data/tokenizer/json_part.h"
#include "io/json.h"
#include "io/temporary_directory.h"

namespace shardlora {
namespace {

using nlohmann::json;

const json& golden() {
  static const json families = parse_json(read_text(TEST_DATA "/tokenizer/families.json", 1 << 20), "families.json");
  return families;
}

void expect_family(const std::string& name, const json& family) {
  const TemporaryDirectory directory;
  json file = family.at("parts");
  file["model"] = golden().at("models").at(family.at("model").get<std::string>());
  directory.write("tokenizer.json", file.dump());
  directory.write("config.json", json{{"eos_token_id", file["model"]["vocab"].begin().value()}}.dump());
  const Tokenizer tokenizer = Tokenizer::open(directory.path());
  const json& lines = golden().at("lines");
  const std::string of_ids = family.at("rows").at("ids"), of_texts = family.at("rows").at("decoded");
  ASSERT_EQ(lines.size() * 3, of_ids.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string text = lines[i];
    std::vector<std::int32_t> ids;
    std::uint32_t end_of_last = 0;
    for (const Token& token : tokenizer.encode(text)) {
      ids.push_back(token.id);
      EXPECT_LE(end_of_last, token.begin) << name << ": " << json(text);
      EXPECT_LE(token.begin, token.end);
      end_of_last = token.end;
    }
    EXPECT_LE(end_of_last, text.size());
    EXPECT_EQ(digest(json(ids).dump(), 3), of_ids.substr(3 * i, 3)) << name << ": " << json(text) << json(ids);
    if (of_texts.empty()) continue;
    EXPECT_EQ(digest(tokenizer.decode(ids) + '\0' + tokenizer.decode(ids, true), 3), of_texts.substr(3 * i, 3))
        << name << ": " << json(text) << json(tokenizer.decode(ids)) << json(tokenizer.decode(ids, true));
  }
  for (const json& row : family.at("decoded")) {
    const std::vector<std::int32_t> ids = row[0];
    EXPECT_EQ(tokenizer.decode(ids), row[1].get<std::string>()) << name << row[0];
    EXPECT_EQ(tokenizer.decode(ids, true), row[2].get<std::string>()) << name << row[0];
  }
}

TEST(TokenizerFamilies, GiveTheIdsAndTextsOfTheTokenizersPackage) {
  ASSERT_GE(golden().at("families").size(), 25U);
  for (const auto& [name, family] : golden().at("families").items()) expect_family(name, family);
}

TEST(Normalizer, MakesWhatTheTokenizersPackageMakes) {
  for (const json& row : golden().at("normalizers")) {
    const Normalizer normalizer = Normalizer::of({row[0], "test"});
    const std::string of_lines = row[1];
    for (std::size_t i = 0; i < golden().at("lines").size(); ++i) {
      const std::string text = golden().at("lines")[i];
      const AlignedText out = normalizer.apply(AlignedText(text, 0));
      EXPECT_EQ(digest(out.text(), 3), of_lines.substr(3 * i, 3)) << row[0] << json(text) << json(out.text());
      std::uint32_t last = 0;
      for (std::size_t at = 0; at <= out.text().size(); ++at) {
        EXPECT_LE(last, out.origin(at)) << row[0] << json(text);
        last = out.origin(at);
      }
      EXPECT_LE(last, text.size());
    }
  }
}

TEST(PreTokenizer, CutsWhereTheTokenizersPackageCuts) {
  ASSERT_GE(golden().at("pre_tokenizers").size(), 100U);
  for (const json& row : golden().at("pre_tokenizers")) {
    const PreTokenizer pre_tokenizer = PreTokenizer::of({row[0], "test"});
    const std::string of_lines = row[1];
    for (std::size_t i = 0; i < golden().at("lines").size(); ++i) {
      const std::string text = golden().at("lines")[i];
      const Words words = pre_tokenizer.apply(AlignedText(text, 0));
      std::string joined;
      for (const TextRange& word : words.ranges)
        joined += (&word == words.ranges.data() ? "" : std::string(1, '\0')) +
                  words.text.text().substr(word.begin, word.end - word.begin);
      EXPECT_EQ(digest(joined, 3), of_lines.substr(3 * i, 3)) << row[0] << json(text) << json(joined);
    }
  }
}

}  // namespace
}  // namespace shardlora
