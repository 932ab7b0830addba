#include "recipe/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recipe/recipe_text.h"

namespace shardlora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kMinimal = R"(base_model: model.gguf
adapter: qlora
datasets:
  - path: rows.jsonl
    type: chat_template
)";

TEST(RecipeTest, FillsInWhatIsNotGiven) {
  const Recipe recipe = load_text(kMinimal);
  EXPECT_EQ(recipe.base_model, "model.gguf");
  EXPECT_EQ(recipe.quantization.format, "nf4");
  EXPECT_TRUE(recipe.quantization.double_quant);
  EXPECT_TRUE(recipe.lora_target_linear);
  ASSERT_EQ(recipe.datasets.size(), 1U);
  EXPECT_EQ(recipe.datasets[0].path, "rows.jsonl");
  EXPECT_EQ(recipe.warmup(100), 0);
  EXPECT_FALSE(recipe.max_steps);
  EXPECT_FALSE(recipe.excess_length_strategy);
}

TEST(RecipeTest, ReadsEveryKey) {
  const Recipe recipe = load_text(R"(
base_model: "a b.gguf"
adapter: lora
quantization: {format: nf4, group_size: 128, double_quant: false, overrides: {lm_head: bf16, "layers\\.0\\..*": none}}
lora_r: 16
lora_alpha: 32.5
lora_dropout: 0.0
lora_target_modules: [q_proj, v_proj]
lora_model_dir: old
datasets:
  - {path: a.jsonl, type: messages}
  - path: b.jsonl
  - {path: talks, data_files: [a.json, b.json], type: sharegpt, field_messages: talk, field_system: s, field_tools: t,
     message_property_mappings: {role: who, content: says}, roles: {assistant: [gpt, model], user: human},
     roles_to_train: [user], train_on_eos: last}
  - {path: c.txt, type: completion, field: body, ds_type: text, split: train, roles: null}
test_datasets: [{path: c.jsonl}]
dataset_prepared_path: kept
dataset_exact_deduplication: true
chat_template: tokenizer_default
train_on_inputs: true
sequence_len: 512
excess_length_strategy: raise
micro_batch_size: 4
global_batch_size: 32
num_epochs: 0.5
max_steps: 7
learning_rate: 1e-3
lr_scheduler: linear
warmup_ratio: 0.03
optimizer: adamw_torch_fused
adam_beta1: 0.8
adam_beta2: 0.95
adam_epsilon: 1e-6
weight_decay: 0.01
max_grad_norm: 0
eval_steps: 10
logging_steps: 5
output_dir: out
profile: trace.json
seed: 7
backend: cpu
bf16: false
gradient_checkpointing: false
deterministic: strict
sharding: {strategy: replicate}
offload: {base: disk, layer_inputs: host, optimizer: host}
base_prepared_path: bases
memory: {device_limit: 24GiB, host_limit: 1.5 GB}
)");
  EXPECT_EQ(recipe.base_model, "a b.gguf");
  EXPECT_EQ(recipe.adapter, AdapterKind::kLora);
  EXPECT_EQ(recipe.quantization.format, "nf4");
  EXPECT_EQ(recipe.quantization.group_size, 128);
  EXPECT_FALSE(recipe.quantization.double_quant);
  EXPECT_THAT(recipe.quantization.overrides,
              ElementsAre(std::pair("lm_head", "bf16"), std::pair("layers\\.0\\..*", "none")));
  EXPECT_EQ(recipe.lora_r, 16);
  EXPECT_EQ(recipe.lora_alpha, 32.5);
  EXPECT_THAT(recipe.lora_target_modules, ElementsAre("q_proj", "v_proj"));
  EXPECT_FALSE(recipe.lora_target_linear);
  EXPECT_EQ(recipe.lora_model_dir, "old");
  ASSERT_EQ(recipe.datasets.size(), 4U);
  EXPECT_EQ(recipe.datasets[1].type, "");
  EXPECT_THAT(recipe.datasets[2].data_files, ElementsAre("a.json", "b.json"));
  EXPECT_EQ(recipe.datasets[2].message_field_role, "who");
  EXPECT_EQ(recipe.datasets[2].message_field_content, "says");
  EXPECT_THAT(recipe.datasets[2].roles.at("assistant"), ElementsAre("gpt", "model"));
  EXPECT_EQ(recipe.datasets[3].field, "body");
  EXPECT_THAT(recipe.datasets[2].roles_to_train, ::testing::Optional(ElementsAre("user")));
  EXPECT_FALSE(recipe.datasets[1].roles_to_train);
  EXPECT_EQ(recipe.datasets[2].train_on_eos, TrainOnEos::kLast);
  EXPECT_EQ(recipe.dataset_prepared_path, "kept");
  EXPECT_TRUE(recipe.dataset_exact_deduplication);
  EXPECT_EQ(recipe.datasets[0].type, "chat_template");
  EXPECT_EQ(recipe.test_datasets.size(), 1U);
  EXPECT_TRUE(recipe.train_on_inputs);
  EXPECT_EQ(recipe.sequence_len, 512);
  EXPECT_EQ(recipe.excess_length_strategy, ExcessLength::kError);
  EXPECT_EQ(recipe.micro_batch_size, 4);
  EXPECT_EQ(recipe.global_batch_size, 32);
  EXPECT_EQ(recipe.num_epochs, 0.5);
  EXPECT_EQ(recipe.max_steps, 7);
  EXPECT_EQ(recipe.learning_rate, 1e-3);
  EXPECT_EQ(recipe.lr_scheduler, Schedule::kLinear);
  EXPECT_EQ(recipe.warmup(50), 2);  // ceil(1.5)
  EXPECT_EQ(recipe.adam_beta1, 0.8);
  EXPECT_EQ(recipe.adam_beta2, 0.95);
  EXPECT_EQ(recipe.adam_epsilon, 1e-6);
  EXPECT_EQ(recipe.weight_decay, 0.01);
  EXPECT_EQ(recipe.max_grad_norm, 0);
  EXPECT_EQ(recipe.eval_steps, 10);
  EXPECT_EQ(recipe.logging_steps, 5);
  EXPECT_EQ(recipe.output_dir, "out");
  EXPECT_EQ(recipe.profile, "trace.json");
  EXPECT_EQ(recipe.seed, 7U);
  EXPECT_EQ(recipe.backend, Backend::kCpu);
  EXPECT_EQ(recipe.bf16, UseDtype::kNo);
  EXPECT_EQ(recipe.fp16, UseDtype::kNo);  // f32 was asked for
  EXPECT_EQ(recipe.gradient_checkpointing, false);
  EXPECT_EQ(recipe.sharding, Sharding::kReplicated);
  EXPECT_EQ(recipe.offload_base, Tier::kDisk);
  EXPECT_EQ(recipe.offload_layer_inputs, Tier::kPinned);
  EXPECT_EQ(recipe.offload_optimizer, Tier::kPinned);
  EXPECT_EQ(recipe.base_prepared_path, "bases");
  EXPECT_EQ(recipe.device_limit, 24ULL << 30);
  EXPECT_EQ(recipe.host_limit, 1'500'000'000U);

  // What is written as resolved reads back to the same recipe.
  const std::string resolved = resolved_yaml(recipe);
  EXPECT_EQ(resolved_yaml(load_text(resolved)), resolved);
  for (const char* line :
       {"base_model: \"a b.gguf\"", "  group_size: 128", "learning_rate: 0.001", "global_batch_size: 32",
        "  device_limit: 24GiB", "  strategy: replicate", "bf16: false", "warmup_ratio: 0.03",
        "lora_target_modules: [\"q_proj\", \"v_proj\"]", "excess_length_strategy: error"})
    EXPECT_THAT(resolved, HasSubstr(std::string(line) + "\n"));
}

// A yes to one is a no to the other; without fp16, bf16: false is f32, as in axolotl and Hugging Face's trainers.
TEST(RecipeTest, Bf16AndFp16AreSettledTogether) {
  using Use = UseDtype;
  const std::vector<std::tuple<std::string, Use, Use>> cases{
      {"", Use::kAuto, Use::kAuto},          {"bf16: auto\nfp16: false", Use::kAuto, Use::kNo},
      {"bf16: true", Use::kYes, Use::kNo},   {"bf16: true\nfp16: auto", Use::kYes, Use::kNo},
      {"bf16: false", Use::kNo, Use::kNo},   {"bf16: false\nfp16: auto", Use::kNo, Use::kAuto},
      {"fp16: true", Use::kNo, Use::kYes},   {"bf16: auto\nfp16: true", Use::kNo, Use::kYes},
      {"fp16: false", Use::kAuto, Use::kNo},
  };
  for (const auto& [text, bf16, fp16] : cases) {
    const Recipe recipe = load_text(kMinimal + text + "\n");
    EXPECT_EQ(recipe.bf16, bf16) << text;
    EXPECT_EQ(recipe.fp16, fp16) << text;
    const std::string resolved = resolved_yaml(recipe);
    EXPECT_EQ(resolved_yaml(load_text(resolved)), resolved) << text;
  }
}

TEST(RecipeTest, ResolvedRecipeOfTheDefaultsReadsBackTheSame) {
  const std::string resolved = resolved_yaml(load_text(kMinimal));
  EXPECT_EQ(resolved_yaml(load_text(resolved)), resolved);
}

TEST(RecipeTest, KeepsAnEmptyListOfRoles) {
  const Recipe recipe = load_text(kMinimal + "    roles_to_train: []\n");
  EXPECT_THAT(recipe.datasets[0].roles_to_train, ::testing::Optional(ElementsAre()));
  EXPECT_THAT(resolved_yaml(recipe), HasSubstr("roles_to_train: []\n"));
  EXPECT_EQ(resolved_yaml(load_text(resolved_yaml(recipe))), resolved_yaml(recipe));
}

TEST(RecipeTest, TakesHuggingFaceNames) {
  const Recipe recipe = load_text(R"(
model_name_or_path: model.gguf
finetuning_type: lora
quantization_bit: 4
double_quantization: false
lora_rank: 4
lora_target: all
cutoff_len: 99
per_device_train_batch_size: 3
num_train_epochs: 2
lr_scheduler_type: constant_with_warmup
optim: adamw_torch
val_size: 0.1
max_steps: -1
disable_gradient_checkpointing: true
activation_offloading: true
layer_offloading: true
offload_optimizer_device: cpu
datasets: [rows.jsonl]
)");
  EXPECT_EQ(recipe.quantization.format, "nf4");
  EXPECT_FALSE(recipe.quantization.double_quant);
  EXPECT_EQ(recipe.lora_r, 4);
  EXPECT_TRUE(recipe.lora_target_linear);
  EXPECT_EQ(recipe.sequence_len, 99);
  EXPECT_EQ(recipe.micro_batch_size, 3);
  EXPECT_EQ(recipe.num_epochs, 2);
  EXPECT_EQ(recipe.lr_scheduler, Schedule::kConstantWithWarmup);
  EXPECT_EQ(recipe.val_set_size, 0.1);
  EXPECT_FALSE(recipe.max_steps);
  EXPECT_EQ(recipe.gradient_checkpointing, false);
  EXPECT_EQ(recipe.offload_base, Tier::kPinned);
  EXPECT_EQ(recipe.offload_layer_inputs, Tier::kPinned);
  EXPECT_EQ(recipe.offload_optimizer, Tier::kPinned);
}

TEST(RecipeTest, TakesTheWordsForLayerInputsOnDisk) {
  for (const char* line :
       {"offload: {layer_inputs: disk}", "activation_offloading: disk", "gradient_checkpointing: offload_disk"})
    EXPECT_EQ(load_text(kMinimal + line + "\n").offload_layer_inputs, Tier::kDisk) << line;
}

TEST(RecipeTest, ReadsTheCourseOfTheLearningRate) {
  const Recipe restarts =
      load_text(kMinimal + "lr_scheduler: cosine_with_restarts\nlr_scheduler_kwargs: {num_cycles: 2}\n");
  EXPECT_EQ(restarts.learning_rates(10).cycles, 2);
  const LearningRate floor = load_text(kMinimal + "cosine_min_lr_ratio: 0.1\nwarmup_ratio: 0.1\n").learning_rates(20);
  EXPECT_EQ(floor.warmup, 2);
  EXPECT_DOUBLE_EQ(floor.at(20), 0.1 * 2e-4);
  const std::string resolved = resolved_yaml(load_text(
      kMinimal + "lr_scheduler: warmup_stable_decay\nlr_scheduler_kwargs: {num_decay_steps: 3, decay_type: 1-sqrt}\n"));
  EXPECT_THAT(resolved, HasSubstr("lr_scheduler_kwargs:\n  num_decay_steps: 3\n  decay_type: 1-sqrt\n"));
  EXPECT_EQ(resolved_yaml(load_text(resolved)), resolved);
}

TEST(RecipeTest, ReadsHowRowsAreMade) {
  EXPECT_EQ(load_text(kMinimal).pack_to(), 0);
  const Recipe packed = load_text(kMinimal + "sample_packing: true\npad_to_sequence_len: true\n");
  EXPECT_EQ(packed.pack_to(), 2048);
  EXPECT_EQ(packed.eval_pack_to(), 2048);
  EXPECT_EQ(load_text(kMinimal + "sample_packing: true\neval_sample_packing: false\n").eval_pack_to(), 0);
  EXPECT_TRUE(load_text(kMinimal + "packing: true\nneat_packing: true\n").sample_packing);
  EXPECT_EQ(load_text(kMinimal + "max_tokens_per_gpu: 4096\n").max_tokens_per_micro_batch, 4096);
  EXPECT_EQ(resolved_yaml(load_text(resolved_yaml(packed))), resolved_yaml(packed));
}

TEST(RecipeTest, ReadsWhatIsDoneToAdapterAndEmbeddings) {
  const Recipe recipe = load_text(kMinimal + "lora_dropout: 0.05\nuse_rslora: true\nnoisy_embedding_alpha: 5\n");
  EXPECT_EQ(recipe.lora_dropout, 0.05);
  EXPECT_TRUE(recipe.peft_use_rslora);
  EXPECT_THAT(load_text(kMinimal + "additional_target: embed_tokens, lm_head\n").lora_modules_to_save,
              ElementsAre("embed_tokens", "lm_head"));
  const Recipe head = load_text(kMinimal + "lora_modules_to_save: [model.lm_head]\n");
  EXPECT_THAT(head.lora_modules_to_save, ElementsAre("lm_head"));
  EXPECT_EQ(resolved_yaml(load_text(resolved_yaml(head))), resolved_yaml(head));
  EXPECT_EQ(recipe.neftune_noise_alpha, 5);
  EXPECT_EQ(resolved_yaml(load_text(resolved_yaml(recipe))), resolved_yaml(recipe));
}

TEST(RecipeTest, ReadsWhenToEvaluate) {
  const std::string held_out = kMinimal + "val_set_size: 0.1\n";
  const Recipe recipe =
      load_text(held_out +
                "evaluation_strategy: epoch\nearly_stopping_patience: 2\nearly_stopping_threshold: 0.01\n"
                "load_best_model_at_end: true\nmetric_for_best_model: eval_loss\n");
  EXPECT_EQ(recipe.eval_strategy, EvalStrategy::kEpoch);
  EXPECT_EQ(recipe.early_stopping_patience, 2);
  EXPECT_EQ(recipe.early_stopping_threshold, 0.01);
  EXPECT_TRUE(recipe.load_best_model_at_end);
  EXPECT_EQ(resolved_yaml(load_text(resolved_yaml(recipe))), resolved_yaml(recipe));
  EXPECT_EQ(load_text(held_out + "eval_strategy: no\n").eval_strategy, EvalStrategy::kNo);
  EXPECT_EQ(load_text(held_out + "eval_steps: 5\n", {"evals_per_epoch=2"}).evals_per_epoch, 2);
}

TEST(RecipeTest, LetsHarmlessKeysOfOtherTrainersPass) {
  load_text(kMinimal + R"(
save_steps: 0
sample_packing: false
wandb_project:
strict: false
special_tokens: {}
lora_model_dir:
load_in_8bit: false
model_type: LlamaForCausalLM
)");
}

TEST(RecipeTest, CommandLineHasTheLastWord) {
  EXPECT_EQ(load_text(kMinimal + "lora_r: 4\n", {"lora_r=8", "lora_rank=16"}).lora_r, 16);
  EXPECT_EQ(load_text(kMinimal, {"adapter=lora", "quantization.format=none"}).quantization.format, "none");
  EXPECT_EQ(load_text(kMinimal, {"quantization={group_size: 256}"}).quantization.group_size, 256);
  EXPECT_THAT(load_text(kMinimal, {"lora_target_modules=[o_proj]"}).lora_target_modules, ElementsAre("o_proj"));
  EXPECT_EQ(load_text(kMinimal + "max_steps: 3\n", {"max_steps="}).max_steps, std::nullopt);
  const Recipe recipe = load_text(kMinimal + "gradient_accumulation_steps: 4\n", {"global_batch_size=8"});
  EXPECT_EQ(recipe.global_batch_size, 8);
  EXPECT_EQ(recipe.gradient_accumulation_steps, 1);
}

}  // namespace
}  // namespace shardlora
