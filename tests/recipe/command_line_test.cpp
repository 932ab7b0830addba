// What the command line says wins over the file, also where the two use different keys.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recipe/recipe_text.h"

namespace shardlora {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Recipe load(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return load_text("base_model: m.gguf\ndatasets: [rows.jsonl]\n" + yaml, overrides);
}

TEST(CommandLine, WinsOverKeysOfTheFileThatSayOtherwise) {
  const Recipe modules = load("adapter: qlora\nlora_target_linear: true\n", {"lora_target_modules=[q_proj]"});
  EXPECT_FALSE(modules.lora_target_linear);
  EXPECT_THAT(modules.lora_target_modules, ElementsAre("q_proj"));
  EXPECT_TRUE(load("adapter: qlora\nlora_target_modules: [q_proj]\n", {"lora_target_linear=true"}).lora_target_linear);

  EXPECT_EQ(load("adapter: qlora\nmax_steps: 7\n", {"num_train_epochs=2"}).max_steps, std::nullopt);
  EXPECT_EQ(load("adapter: qlora\nwarmup_steps: 7\n", {"warmup_ratio=0.1"}).warmup(100), 10);
  EXPECT_EQ(load("adapter: qlora\ncutoff_len: 7000\n", {"sequence_len=512"}).sequence_len, 512);
  EXPECT_EQ(load("adapter: qlora\nmicro_batch_size: 7\n", {"per_device_train_batch_size=2"}).micro_batch_size, 2);

  const Recipe half = load("adapter: qlora\nbf16: true\n", {"fp16=true"});
  EXPECT_EQ(half.fp16, UseDtype::kYes);
  EXPECT_EQ(half.bf16, UseDtype::kNo);
  EXPECT_EQ(load("adapter: lora\nload_in_4bit: true\n", {"quantization.format=none"}).quantization.format, "none");
  EXPECT_EQ(load("adapter: lora\nquantization: {format: nf4}\n", {"load_in_4bit=false"}).quantization.format, "none");
  EXPECT_EQ(load("adapter: lora\nload_in_4bit: false\n", {"adapter=qlora"}).quantization.format, "nf4");
  EXPECT_TRUE(load("adapter: qlora\nsample_packing: true\n", {"group_by_length=true"}).group_by_length);
  EXPECT_FALSE(load("adapter: qlora\npacking: true\nneat_packing: true\n", {"sample_packing=false"}).sample_packing);
  EXPECT_FALSE(load("adapter: qlora\nsample_packing: true\n", {"packing=false"}).sample_packing);
  EXPECT_EQ(load("adapter: qlora\nval_set_size: 0.1\n", {"test_datasets=[t.jsonl]"}).val_set_size, 0);
}

TEST(CommandLine, LeavesTheFileAloneWhereItOnlySaysNo) {
  EXPECT_THAT(load("adapter: qlora\nlora_target_modules: [q_proj]\n", {"lora_target_linear=false"}).lora_target_modules,
              ElementsAre("q_proj"));
  EXPECT_EQ(load("adapter: qlora\nfp16: true\n", {"bf16=false"}).fp16, UseDtype::kYes);
  EXPECT_TRUE(load("adapter: qlora\ngroup_by_length: true\n", {"sample_packing=false"}).group_by_length);
}

TEST(CommandLine, SaysWhatDoesNotCount) {
  EXPECT_THAT(
      load("adapter: qlora\nlora_target_linear: true\n", {"lora_target=[q_proj]"}).notes,
      Contains(HasSubstr(".yaml:4: lora_target_linear: does not count, since the command line gives lora_target")));
}

}  // namespace
}  // namespace shardlora
