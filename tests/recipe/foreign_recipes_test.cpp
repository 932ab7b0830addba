// Recipes of axolotl and LLaMA-Factory as their projects publish them (tests/data/recipes): all that is in the way is
// told in one run, and with the model's and the data's path changed they load and say what they are taken for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/config_problems.h"
#include "recipe/recipe.h"

namespace shardlora {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

using Lines = std::vector<std::string>;

std::string file_of(const std::string& name) { return std::string(TEST_DATA) + "/recipes/" + name + ".yaml"; }

// Places without the folder.
std::string short_place(std::string line) {
  for (const std::string folder = std::string(TEST_DATA) + "/recipes/"; line.find(folder) != std::string::npos;)
    line.erase(line.find(folder), folder.size());
  return line;
}

Lines problems_of(const std::string& name, const Lines& overrides = {}) {
  try {
    load_recipe(file_of(name), overrides);
  } catch (const ConfigError& error) {
    Lines problems;
    for (const std::string& problem : error.problems()) problems.push_back(short_place(problem));
    return problems;
  }
  return {};
}

Recipe load_changed(const std::string& name, Lines overrides = {}) {
  overrides.emplace_back("base_model=model");
  return load_recipe(file_of(name), overrides);
}

Lines notes_of(const Recipe& recipe) {
  Lines notes;
  for (const std::string& note : recipe.notes) notes.push_back(short_place(note));
  return notes;
}

const std::string kSaved = ": the adapter is written once, at the end";
const std::string kDropped =
    "left out here, axolotl has: longer rows left out (here cut, while at most 1 % of the rows are longer)";

TEST(ForeignRecipes, AxolotlsLoraOfLlama) {
  const Recipe recipe = load_changed("axolotl_llama_3_lora_1b", {"datasets=[rows.jsonl]"});
  EXPECT_EQ(recipe.lora_r, 16);
  EXPECT_EQ(recipe.lora_target_modules.size(), 7U);
  EXPECT_EQ(recipe.evals_per_epoch, 4);
  EXPECT_EQ(recipe.adapter, AdapterKind::kLora);
  EXPECT_THAT(notes_of(recipe),
              ElementsAre("without effect here: attn_implementation, loss_watchdog_threshold, loss_watchdog_patience, "
                          "special_tokens.pad_token",
                          "axolotl_llama_3_lora_1b.yaml:45: saves_per_epoch" + kSaved,
                          "axolotl_llama_3_lora_1b.yaml:32: optimizer: adamw_8bit is AdamW with its state in f32 here",
                          kDropped));
}

TEST(ForeignRecipes, AxolotlsQLoraOfLlama) {
  const Recipe recipe = load_changed("axolotl_llama_3_qlora_1b");
  EXPECT_EQ(recipe.quantization.format, "nf4");
  EXPECT_EQ(recipe.dataset_prepared_path, "last_run_prepared");
  EXPECT_THAT(notes_of(recipe).size(), 4U);
  EXPECT_THAT(notes_of(recipe)[2], EndsWith("adamw_bnb_8bit is AdamW with its state in f32 here"));
}

TEST(ForeignRecipes, AxolotlsEightBitBaseIsRefusedAndNothingElse) {
  EXPECT_THAT(problems_of("axolotl_llama_3_instruct_lora_8b"),
              ElementsAre("axolotl_llama_3_instruct_lora_8b.yaml:5: load_in_8bit: known, but not supported in this "
                          "version; take load_in_4bit: true with adapter: qlora, or neither: the base then rests in 16 "
                          "bit, closer to the original (or set it to false)"));
  const Recipe recipe = load_changed("axolotl_llama_3_instruct_lora_8b", {"load_in_8bit=false"});
  EXPECT_EQ(recipe.quantization.format, "none");
  EXPECT_EQ(recipe.chat_template.name, "llama3");
}

TEST(ForeignRecipes, AxolotlsShardedQLora) {
  const Recipe recipe = load_changed("axolotl_llama_3_qlora_fsdp_70b");
  EXPECT_EQ(recipe.sharding, std::nullopt) << "what rests where follows from memory";
  EXPECT_THAT(
      notes_of(recipe),
      ElementsAre(
          "without effect here: gradient_checkpointing_kwargs, attn_implementation, fsdp, fsdp_config, "
          "special_tokens.pad_token",
          "axolotl_llama_3_qlora_fsdp_70b.yaml:42: saves_per_epoch" + kSaved,
          kDropped + "; a line end behind \"### Response:\" in type: alpaca (here none, as Stanford's prompt)"));
}

TEST(ForeignRecipes, AxolotlsQwenTakesAFifthOfTheRows) {
  const Recipe recipe = load_changed("axolotl_qwen3_32b_qlora");
  ASSERT_EQ(recipe.datasets.size(), 1U);
  EXPECT_EQ(recipe.datasets[0].rows.split(), "train[:20%]");
  EXPECT_EQ(recipe.datasets[0].message_field_role, "from");
  EXPECT_TRUE(recipe.gradient_checkpointing);
  EXPECT_THAT(notes_of(recipe)[0],
              "without effect here: lora_mlp_kernel, lora_qkv_kernel, lora_o_kernel, tf32, "
              "gradient_checkpointing_kwargs, attn_implementation");
}

TEST(ForeignRecipes, LlamaFactorysNeedTheirDataNamed) {
  for (const char* name :
       {"llama_factory_qwen3_lora_sft", "llama_factory_qwen3_lora_sft_ds3", "llama_factory_qwen3_lora_sft_otfq",
        "llama_factory_qwen3_lora_sft_bnb_npu", "llama_factory_llama3_lora_sft"}) {
    const Lines problems = problems_of(name);
    ASSERT_EQ(problems.size(), 1U) << ::testing::PrintToString(problems);
    EXPECT_THAT(problems[0],
                HasSubstr(": dataset: \"identity\" is a name of dataset_info.json, which is not read here; "
                          "name its file instead, or write datasets:"));
    EXPECT_THAT(problems[0], HasSubstr(std::string(name) + ".yaml:")) << name;
    for (const char* data : {"dataset=a.jsonl, b.json", "datasets=[a.jsonl, b.json]"}) {
      const Recipe recipe = load_changed(name, {data});
      ASSERT_EQ(recipe.datasets.size(), 2U) << data;
      EXPECT_EQ(recipe.datasets[1].path, "b.json");
      EXPECT_EQ(recipe.datasets[1].rows.at_most, 1000);
      EXPECT_EQ(recipe.num_epochs, 3);
      EXPECT_TRUE(recipe.lora_target_linear);
      ASSERT_GE(recipe.notes.size(), 2U);
      EXPECT_THAT(recipe.notes[0], HasSubstr("preprocessing_num_workers, dataloader_num_workers, "));
      EXPECT_THAT(recipe.notes[0], HasSubstr("plot_loss, overwrite_output_dir, ddp_timeout"));
      EXPECT_THAT(recipe.notes[1], EndsWith(": save_steps" + kSaved));
    }
  }
  EXPECT_THAT(load_changed("llama_factory_qwen3_lora_sft_ds3", {"dataset=a.jsonl"}).notes[0], HasSubstr("deepspeed, "));
  EXPECT_EQ(load_changed("llama_factory_qwen3_lora_sft", {"dataset=a.jsonl"}).quantization.format, "none");
  EXPECT_EQ(load_changed("llama_factory_llama3_lora_sft", {"dataset=a.jsonl"}).quantization.format, "nf4");
  EXPECT_FALSE(load_changed("llama_factory_qwen3_lora_sft_bnb_npu", {"dataset=a.jsonl"}).quantization.double_quant);
}

}  // namespace
}  // namespace shardlora
