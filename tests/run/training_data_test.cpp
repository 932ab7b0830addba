// A recipe's datasets, with the tokenizer of a small model folder.
#include "run/training_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/temporary_directory.h"

namespace shardlora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr const char* kTokenizer = R"({
  "added_tokens": [{"id": 3, "content": "</s>", "special": true, "normalized": false}],
  "normalizer": null, "pre_tokenizer": null, "decoder": {"type": "Fuse"}, "post_processor": null,
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}})";

class ModelWithATemplateThatIsNotUnderstood : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("tokenizer.json", kTokenizer);
    folder_.write("tokenizer_config.json", R"({"eos_token": "</s>", "chat_template": "{% frobnicate %}"})");
    recipe_.base_model = folder_.path().string();
    recipe_.dataset_prepared_path = "";
  }
  TrainingData load(const char* file, const char* rows) {
    folder_.write(file, rows);
    recipe_.datasets = {{.path = (folder_.path() / file).string()}};
    return load_training_data(recipe_, Tokenizer::open(folder_.path()));
  }
  TemporaryDirectory folder_;
  Recipe recipe_;
};

TEST_F(ModelWithATemplateThatIsNotUnderstood, TrainsOnTexts) {
  EXPECT_EQ(load("rows.txt", "abab").train.samples.size(), 1U);
}

TEST_F(ModelWithATemplateThatIsNotUnderstood, SaysSoWhereAConversationComes) {
  EXPECT_THAT(
      [&] { load("rows.jsonl", R"({"messages": [{"role": "user", "content": "a"}]})"); },
      ThrowsMessage<Error>(AllOf(HasSubstr("rows.jsonl:1: "), HasSubstr("chat template"), HasSubstr("frobnicate"))));
}

TEST_F(ModelWithATemplateThatIsNotUnderstood, StopsWhereTheRecipeNamesSuchAOne) {
  recipe_.chat_template.jinja = "{% frobnicate %}";
  EXPECT_THAT([&] { load("rows.txt", "abab"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("chat_template_jinja"), HasSubstr("frobnicate"))));
}

}  // namespace
}  // namespace shardlora
