// Every key is one row, and all that is said of keys comes from the rows.
#include "recipe/key_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "base/file.h"
#include "recipe/dataset_fields.h"
#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

using testing::HasSubstr;
using testing::Not;

template <typename Config>
void expect_explained(const std::vector<ConfigField<Config>>& fields) {
  for (const auto& field : fields) {
    EXPECT_FALSE(field.type.empty()) << field.name;
    EXPECT_FALSE(field.help.empty()) << field.name;
    EXPECT_LT(field.help.size(), 110U) << field.name << ": one line";
    EXPECT_THAT(field.type + field.help, Not(testing::ContainsRegex("[|\n]"))) << field.name << " breaks its table";
  }
}

TEST(KeyReference, ExplainsEveryKeyInALine) {
  expect_explained(recipe_fields());
  expect_explained(dataset_fields());
}

// What the reference calls a default is what a recipe without the key gets: written into one, it changes nothing.
TEST(KeyReference, ShowsDefaultsThatReadBackToThemselves) {
  int read = 0;
  for (const RecipeField& field : recipe_fields()) {
    const std::string value = field.write ? field.write(RecipeDraft{}) : "";
    if (value.empty()) continue;
    const ConfigMember member = parse_override("k=" + value);
    RecipeDraft draft;
    // Where several keys are one choice, it is settled from all of them.
    if (field.name == "quantization.format") continue;
    ASSERT_NO_THROW(field.read(draft, {field.name, member.value})) << field.name << ": " << value;
    EXPECT_EQ(field.write(draft), value) << field.name;
    ++read;
  }
  EXPECT_GT(read, 30);
}

TEST(KeyReference, IsThePageInTheDocumentation) {
  const std::filesystem::path docs = std::filesystem::path(TEST_DATA) / "../../docs";
  EXPECT_TRUE(read_text(docs / "recipe.md", 1 << 20) == keys_markdown())
      << "docs/recipe.md is stale: build/shardlora keys --markdown > docs/recipe.md";
}

TEST(KeyReference, FindsKeysByNameByAliasAndByHelp) {
  EXPECT_THAT(keys_text("lora_r"),
              HasSubstr("lora_r (also lora_rank, r)\n    rank of the two small matrices\n    a whole "
                        "number from 1 to 4096; default 8\n"));
  EXPECT_THAT(keys_text("cutoff_len"), HasSubstr("sequence_len (also cutoff_len"));
  EXPECT_THAT(keys_text("NEFTune"), HasSubstr("neftune_noise_alpha"));
  EXPECT_THAT(keys_text("neftune"), HasSubstr("neftune_noise_alpha"));
  EXPECT_THAT(keys_text("field_tools"), HasSubstr("datasets[].field_tools"));
  EXPECT_THAT(keys_text("lora_r"), Not(HasSubstr("sequence_len")));
}

TEST(KeyReference, ShowsNoDefaultWhereTheHelpSaysWhatHolds) {
  EXPECT_THAT(keys_text("finetuning_type"), Not(HasSubstr("default")));
  EXPECT_THAT(keys_text("quantization.format"), Not(HasSubstr("; default")));
}

TEST(KeyReference, SaysWhatBecomesOfOtherTrainersKeys) {
  EXPECT_THAT(keys_text("deepspeed"), HasSubstr("without effect here: sharding is built in"));
  EXPECT_THAT(keys_text("ray_anything"), HasSubstr("ray_*"));
  EXPECT_THAT(keys_text("load_in_8bit"), HasSubstr("refused"));
}

TEST(KeyReference, NamesTheNearestKeyForAWordThatNoneHas) {
  EXPECT_THAT([] { keys_text("leraning_rate"); },
              testing::ThrowsMessage<UsageError>(HasSubstr("did you mean \"learning_rate\"?")));
  EXPECT_THAT([] { keys_text("feild_messages"); },
              testing::ThrowsMessage<UsageError>(HasSubstr("did you mean \"field_messages\"?")));
}

TEST(KeyReference, FitsATerminalOf80Columns) {
  std::istringstream lines(keys_text(""));
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_LE(line.size(), 80U) << line;
  EXPECT_GT(count, 200U);
}

}  // namespace
}  // namespace shardlora
