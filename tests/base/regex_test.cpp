#include "base/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace shardlora {
namespace {

using testing::HasSubstr;

TEST(Regex, MatchesAWholeTextAsPythonsFullmatchDoes) {
  const Regex regex(R"(model\.layers\.\d+\.(a|ab))", "target_modules");
  EXPECT_TRUE(regex.matches("model.layers.12.a"));
  EXPECT_TRUE(regex.matches("model.layers.12.ab"));  // the shorter branch is tried first, and does not end the text
  EXPECT_FALSE(regex.matches("model.layers.12.abc"));
  EXPECT_FALSE(regex.matches("x.model.layers.12.a"));
}

TEST(Regex, GivesAGroupByItsName) {
  const Regex regex(R"((x|.*?)\.layers\.(?P<idx>\d+)\.)", "layers_pattern");
  EXPECT_EQ(regex.group("model.layers.3.mlp.layers.4.up", "idx"), "3");
  EXPECT_EQ(regex.group("model.blocks.3.mlp", "idx"), std::nullopt);
}

std::string error_of_pattern(const std::string& pattern) {
  try {
    return Regex(pattern, "r.yaml:6: lora_target_modules").matches(std::string(40, 'a') + "!") ? "match" : "no match";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(Regex, SaysWhatIsWrongWithAPattern) {
  EXPECT_THAT(error_of_pattern(".*(q_proj"), HasSubstr("r.yaml:6: lora_target_modules: \".*(q_proj\" is no regular"));
  EXPECT_THAT(error_of_pattern("(a|aa)+!!"), HasSubstr("takes too long"));
  EXPECT_THAT(error_of_pattern("\\C"), HasSubstr("is no regular expression"));  // half a character
}

}  // namespace
}  // namespace shardlora
