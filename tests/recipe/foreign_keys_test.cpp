#include "recipe/foreign_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "recipe/recipe_fields.h"
#include "recipe/recipe_text.h"

namespace shardlora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kMinimal = "base_model: m\nadapter: qlora\ndatasets: [a.jsonl]\n";  // what is added begins on line 4

std::vector<std::string> notes_of(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return load_text(kMinimal + yaml, overrides).notes;
}

TEST(ForeignKeysTest, EverythingThatIsWrongIsToldInOneRun) {
  EXPECT_EQ(
      error_of_text("base_model: m\n"
                    "lora_rr: 16\n"
                    "lora_alpha: 0\n"
                    "datasets:\n"
                    "  - {path: a, type: alpacca, pth: b}\n"
                    "  - {type: alpaca}\n"
                    "quantization: {formt: nf4, group_size: 48}\n"
                    "load_in_8bit: true\n"
                    "micro_batch_size: many\n"
                    "lora_r: 8\n"
                    "lora_rank: 9\n"
                    "bf16: true\n"
                    "fp16: true\n"
                    "memory: lots\n",
                    {"seed=-1", "lernaing_rate=1"}),
      "15 settings are in the way:\n"
      "  r.yaml:2: unknown key \"lora_rr\"; did you mean \"lora_r\"?\n"
      "  r.yaml:3: lora_alpha: expected a number above 0, at most 65536, got \"0\"\n"
      "  r.yaml:5: datasets[].type: unknown value \"alpacca\"; did you mean \"alpaca\"?; one of: chat_template, "
      "input_output, pre_tokenized, alpaca, prompt_completion, completion; or leave it out, then it is recognised "
      "by the first row\n"
      "  r.yaml:5: unknown key \"pth\" of a dataset; did you mean \"path\"?; this version knows path, data_files, "
      "type, ds_type, split, max_samples, field, field_messages, message_property_mappings, message_field_role, "
      "message_field_content, field_system, field_tools, roles, roles_to_train, train_on_eos\n"
      "  r.yaml:6: datasets: a dataset without a path; add \"path: rows.jsonl\"\n"
      "  r.yaml:7: unknown key \"quantization.formt\"; did you mean \"quantization.format\"?\n"
      "  r.yaml:7: quantization.group_size: expected a power of two from 32 to 4096, got \"48\"\n"
      "  r.yaml:8: load_in_8bit: known, but not supported in this version; take load_in_4bit: true with adapter: "
      "qlora, or neither: the base then rests in 16 bit, closer to the original (or set it to false)\n"
      "  r.yaml:9: micro_batch_size: expected a whole number from 1 to 1048576, got \"many\"\n"
      "  r.yaml:11: lora_rank: given twice; the first is lora_r at r.yaml:10\n"
      "  r.yaml:13: fp16: not together with bf16: true (r.yaml:12); training computes in one of them, so set the other "
      "one "
      "to false\n"
      "  r.yaml:14: memory: expected a mapping of its keys, indented below it, got \"lots\"\n"
      "  command line: unknown key \"lernaing_rate\"; did you mean \"learning_rate\"?\n"
      "  r.yaml: adapter is missing; write adapter: qlora (4-bit base) or adapter: lora (this version trains no full "
      "model)\n"
      "  command line: seed: expected a whole number of at least 0, got \"-1\"");
}

TEST(ForeignKeysTest, AValueThatCannotBeReadBringsNoSecondComplaint) {
  EXPECT_EQ(error_of_text(kMinimal + "sequence_len: long\nmax_tokens_per_micro_batch: 100\n"),
            "r.yaml:4: sequence_len: expected a whole number from 8 to 16777216, got \"long\"");
  EXPECT_EQ(error_of_text(kMinimal + "val_set_size: 2.5\nearly_stopping_patience: 2\neval_steps: 5\n"),
            "r.yaml:4: val_set_size: expected a fraction below 1 or a whole number of rows, got \"2.5\"");
  EXPECT_EQ(error_of_text("base_model: m\nadapter: full\ndatasets: [a]\nload_in_4bit: false\n"),
            "r.yaml:2: adapter: unknown value \"full\"; one of: lora, qlora");
}

TEST(ForeignKeysTest, WhatIsHarmlessIsToldInOneLine) {
  EXPECT_THAT(notes_of("flash_attention: true\nddp_timeout: 180000000\nfsdp: [full_shard]\ntf32: true\n"
                       "fsdp_config: {offload_params: true}\ngradient_checkpointing_kwargs: {use_reentrant: true}\n"
                       "warmup_steps: 0\nsequence_len: 512\nexcess_length_strategy: drop\n"),
              ElementsAre("without effect here: flash_attention, ddp_timeout, fsdp, tf32, fsdp_config, "
                          "gradient_checkpointing_kwargs"));
  EXPECT_THAT(notes_of("wandb_project:\nspecial_tokens: {}\nflash_attention: false\nsave_steps: 0\nreport_to: none\n"
                       "plugins: []\nwarmup_steps: 0\nsequence_len: 512\nexcess_length_strategy: drop\n"),
              IsEmpty());
}

TEST(ForeignKeysTest, WhatIsTakenForSomethingNearIsSaid) {
  EXPECT_THAT(
      notes_of("saves_per_epoch: 2\nsave_strategy: steps\nwandb_project: mine\noptim: paged_adamw_8bit\n"
               "gradient_checkpointing: offload_disk\nstreaming: true\nwarmup_ratio: 0\nsequence_len: 512\n"
               "excess_length_strategy: drop\n"),
      ElementsAre("r.yaml:4: saves_per_epoch: the adapter is written once, at the end",
                  "r.yaml:5: save_strategy: the adapter is written once, at the end",
                  "r.yaml:6: wandb_project: nothing is sent anywhere; the numbers are in metrics.jsonl in output_dir",
                  "r.yaml:9: streaming: files are read whole; the rows are the same",
                  "r.yaml:7: optim: paged_adamw_8bit is AdamW with its state in f32 here"));
}

TEST(ForeignKeysTest, WhatWouldChangeTheResultIsRefused) {
  for (const char* line : {"use_dora: true",
                           "rl: dpo",
                           "dpo_beta: 0.1",
                           "model_type: LlamaForSequenceClassification",
                           "special_tokens: {eos_token: x}",
                           "loraplus_lr_ratio: 16",
                           "label_smoothing_factor: 0.1",
                           "neat_pcking: true",
                           "plugins: [axolotl.integrations.liger.LigerPlugin, axolotl.integrations.kd.KDPlugin]",
                           "stage: dpo",
                           "enable_thinking: false",
                           "lr_quadratic_warmup: true",
                           "rope_scaling: {type: yarn}",
                           "fp8: true",
                           "mask_history: true",
                           "default_system_message: Be brief",
                           "disable_shuffling: true",
                           "mix_strategy: interleave",
                           "chat_template_kwargs: {x: 1}",
                           "min_sample_len: 9",
                           "eval_sequence_len: 99",
                           "greater_is_better: true",
                           "resume_from_checkpoint: x",
                           "use_eaft: true",
                           "use_dft_loss: true",
                           "s2_attention: true",
                           "optim_args: x=1",
                           "jagged_restart_steps: 5",
                           "lisa_n_layers: 2",
                           "peft_trainable_token_indices: [1]",
                           "embedding_lr: 1",
                           "peft_init_lora_weights: pissa",
                           "lora_exclude_modules: [o_proj]",
                           "create_new_adapter: true",
                           "tokens: [x]",
                           "add_tokens: x",
                           "resize_vocab: true",
                           "split_special_tokens: true",
                           "model_revision: old",
                           "overrides_of_model_config: {x: 1}",
                           "tokenizer_use_mistral_common: true",
                           "image_size: 9",
                           "kd_alpha: 1",
                           "use_kt: true"})
    EXPECT_THAT(error_of_text(kMinimal + line + "\n"), HasSubstr("r.yaml:4: ")) << line;
  for (const char* key : {"name: x", "message_field_training: x", "field_thinking: x", "split_thinking: true",
                          "train_on_eot: all", "drop_system_message: true", "shards: 2", "input_format: x"})
    EXPECT_THAT(error_of_text(fmt::format("base_model: m\nadapter: qlora\ndatasets: [{{path: a, {}}}]\n", key)),
                HasSubstr("r.yaml:3: "))
        << key;
  for (const char* line :
       {"model_type: MistralForCausalLM", "plugins: [axolotl.integrations.liger.LigerPlugin]", "enable_thinking: true",
        "label_smoothing_factor: 0.0", "special_tokens: {eos_token: }", "rl: false", "stage: sft"})
    EXPECT_EQ(error_of_text(kMinimal + line + "\n"), "no error") << line;
}

TEST(ForeignKeysTest, TheCommandLineTakesTheWordOfAForeignKeyBack) {
  EXPECT_EQ(error_of_text(kMinimal + "load_in_8bit: true\n", {"load_in_8bit=false"}), "no error");
  EXPECT_THAT(error_of_text(kMinimal, {"load_in_8bit=true"}), HasSubstr("command line: load_in_8bit: known, but"));
}

TEST(ForeignKeysTest, OtherValuesOfWhatARecipeLeavesOutAreToldInOneLine) {
  EXPECT_THAT(notes_of("lora_r: 8\n"), IsEmpty());
  EXPECT_THAT(
      notes_of("chunked_cross_entropy: true\n"),
      ElementsAre("without effect here: chunked_cross_entropy",
                  "left out here, axolotl has: rows of up to 512 tokens (here 2048); longer rows left out (here "
                  "cut, while at most 1 % of the rows are longer); a warm-up of 3 % of the steps, 100 at most "
                  "(here none; warmup_ratio: 0.03 is near)"));
  EXPECT_THAT(notes_of("cutoff_len: 1024\npacking: true\nnum_train_epochs: 1\n"),
              ElementsAre("left out here, LLaMA-Factory has: a learning rate of 5e-5 (here 2e-4); a linear fall of it "
                          "(here cosine); 8 rows a micro-batch (here 1); packed samples that see each other (here they "
                          "never do)"));
}

TEST(ForeignKeysTest, AxolotlsAlpacaPromptIsToldToDiffer) {
  const std::string alpaca = "base_model: m\nadapter: qlora\ndatasets: [{path: a, type: alpaca}]\n";
  const auto told = [&](const std::string& more) { return load_text(alpaca + more).notes; };
  EXPECT_THAT(told("chunked_cross_entropy: true\n"), testing::Contains(HasSubstr("### Response:")));
  EXPECT_THAT(told(""), testing::Not(testing::Contains(HasSubstr("### Response:"))));
}

TEST(ForeignKeysTest, NearWordsOfKeysReachTheRecipe) {
  EXPECT_EQ(load_text(kMinimal + "use_cpu: true\n").backend, Backend::kCpu);
  EXPECT_TRUE(load_text(kMinimal + "train_sampling_strategy: group_by_length\n").group_by_length);
  EXPECT_FALSE(
      load_text(kMinimal + "bnb_config_kwargs: {bnb_4bit_use_double_quant: false, bnb_4bit_compute_dtype: bfloat16}\n")
          .quantization.double_quant);
  EXPECT_EQ(load_text(kMinimal + "template: qwen3_nothink\n").chat_template.name, "qwen3_nothink");
  const Recipe recipe = load_text(
      "base_model: m\nadapter: lora\nmax_samples: 9\neval_dataset: t/x.json\n"
      "datasets:\n  - {path: a, split: 'train[10%:]'}\n  - {path: b, max_samples: 3}\n");
  EXPECT_EQ(recipe.datasets[0].rows.at_most, 9);
  EXPECT_EQ(recipe.datasets[1].rows.at_most, 3);
  EXPECT_EQ(recipe.test_datasets.at(0).rows.at_most, 9);
  EXPECT_EQ(resolved_yaml(load_text(resolved_yaml(recipe))), resolved_yaml(recipe));
}

TEST(ForeignTables, NameEveryKeyOnceAndNoneThatIsRead) {
  std::set<std::string> ours, foreign;
  for (const auto& field : recipe_fields()) {
    ours.insert(field.name);
    ours.insert(field.aliases.begin(), field.aliases.end());
  }
  for (const ForeignKeys& row : foreign_recipe_keys())
    for (const std::string& name : blank_separated(row.names)) {
      EXPECT_TRUE(foreign.insert(name).second) << name << " stands twice";
      EXPECT_FALSE(ours.contains(name)) << name << " is read";
      EXPECT_FALSE(row.advice.empty()) << name;
    }
  for (const std::string& name : ours)
    EXPECT_EQ(find_foreign(foreign_recipe_keys(), name), nullptr) << name << " is of a foreign family";
}

}  // namespace
}  // namespace shardlora
