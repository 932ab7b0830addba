#include "recipe/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"

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

class RecipeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("shardlora_recipe_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    std::filesystem::current_path(folder_);
  }
  void TearDown() override {
    std::filesystem::current_path("/");
    std::filesystem::remove_all(folder_);
  }
  static Recipe load(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
    std::ofstream("r.yaml") << yaml;
    return load_recipe("r.yaml", overrides);
  }
  static std::string error_of(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
    try {
      load(yaml, overrides);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  std::filesystem::path folder_;
};

TEST_F(RecipeTest, FillsInWhatIsNotGiven) {
  const Recipe recipe = load(kMinimal);
  EXPECT_EQ(recipe.base_model, "model.gguf");
  EXPECT_EQ(recipe.quantization.format, BaseFormat::kNF4);
  EXPECT_TRUE(recipe.quantization.double_quant);
  EXPECT_TRUE(recipe.lora_target_linear);
  ASSERT_EQ(recipe.datasets.size(), 1U);
  EXPECT_EQ(recipe.datasets[0].path, "rows.jsonl");
  EXPECT_EQ(recipe.warmup(100), 0);
  EXPECT_FALSE(recipe.max_steps);
  EXPECT_FALSE(recipe.excess_length_strategy);
}

TEST_F(RecipeTest, ReadsEveryKey) {
  const Recipe recipe = load(R"(
base_model: "a b.gguf"
adapter: lora
quantization: {format: nf4, group_size: 128, double_quant: false}
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
seed: 7
backend: cpu
bf16: false
gradient_checkpointing: false
deterministic: strict
sharding: {strategy: replicate}
memory: {device_limit: 24GiB, host_limit: 1.5 GB}
)");
  EXPECT_EQ(recipe.base_model, "a b.gguf");
  EXPECT_EQ(recipe.adapter, AdapterKind::kLora);
  EXPECT_EQ(recipe.quantization.format, BaseFormat::kNF4);
  EXPECT_EQ(recipe.quantization.group_size, 128);
  EXPECT_FALSE(recipe.quantization.double_quant);
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
  EXPECT_EQ(recipe.seed, 7U);
  EXPECT_EQ(recipe.backend, Backend::kCpu);
  EXPECT_EQ(recipe.bf16, UseDtype::kNo);
  EXPECT_EQ(recipe.fp16, UseDtype::kNo);  // f32 was asked for
  EXPECT_FALSE(recipe.gradient_checkpointing);
  EXPECT_EQ(recipe.sharding, Sharding::kReplicated);
  EXPECT_EQ(recipe.device_limit, 24ULL << 30);
  EXPECT_EQ(recipe.host_limit, 1'500'000'000U);

  // What is written as resolved reads back to the same recipe.
  const std::string resolved = resolved_yaml(recipe);
  EXPECT_EQ(resolved_yaml(load(resolved)), resolved);
  for (const char* line :
       {"base_model: \"a b.gguf\"", "  group_size: 128", "learning_rate: 0.001", "global_batch_size: 32",
        "  device_limit: 24GiB", "  strategy: replicate", "bf16: false", "warmup_ratio: 0.03",
        "lora_target_modules: [\"q_proj\", \"v_proj\"]", "excess_length_strategy: error"})
    EXPECT_THAT(resolved, HasSubstr(std::string(line) + "\n"));
}

// A yes to one is a no to the other; without fp16, bf16: false is f32, as in axolotl and Hugging Face's trainers.
TEST_F(RecipeTest, Bf16AndFp16AreSettledTogether) {
  using Use = UseDtype;
  const std::vector<std::tuple<std::string, Use, Use>> cases{
      {"", Use::kAuto, Use::kAuto},          {"bf16: auto\nfp16: false", Use::kAuto, Use::kNo},
      {"bf16: true", Use::kYes, Use::kNo},   {"bf16: true\nfp16: auto", Use::kYes, Use::kNo},
      {"bf16: false", Use::kNo, Use::kNo},   {"bf16: false\nfp16: auto", Use::kNo, Use::kAuto},
      {"fp16: true", Use::kNo, Use::kYes},   {"bf16: auto\nfp16: true", Use::kNo, Use::kYes},
      {"fp16: false", Use::kAuto, Use::kNo},
  };
  for (const auto& [text, bf16, fp16] : cases) {
    const Recipe recipe = load(kMinimal + text + "\n");
    EXPECT_EQ(recipe.bf16, bf16) << text;
    EXPECT_EQ(recipe.fp16, fp16) << text;
    const std::string resolved = resolved_yaml(recipe);
    EXPECT_EQ(resolved_yaml(load(resolved)), resolved) << text;
  }
}

TEST_F(RecipeTest, ResolvedRecipeOfTheDefaultsReadsBackTheSame) {
  const std::string resolved = resolved_yaml(load(kMinimal));
  EXPECT_EQ(resolved_yaml(load(resolved)), resolved);
}

TEST_F(RecipeTest, KeepsAnEmptyListOfRoles) {
  const Recipe recipe = load(kMinimal + "    roles_to_train: []\n");
  EXPECT_THAT(recipe.datasets[0].roles_to_train, ::testing::Optional(ElementsAre()));
  EXPECT_THAT(resolved_yaml(recipe), HasSubstr("roles_to_train: []\n"));
  EXPECT_EQ(resolved_yaml(load(resolved_yaml(recipe))), resolved_yaml(recipe));
}

TEST_F(RecipeTest, TakesHuggingFaceNames) {
  const Recipe recipe = load(R"(
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
datasets: [rows.jsonl]
)");
  EXPECT_EQ(recipe.quantization.format, BaseFormat::kNF4);
  EXPECT_FALSE(recipe.quantization.double_quant);
  EXPECT_EQ(recipe.lora_r, 4);
  EXPECT_TRUE(recipe.lora_target_linear);
  EXPECT_EQ(recipe.sequence_len, 99);
  EXPECT_EQ(recipe.micro_batch_size, 3);
  EXPECT_EQ(recipe.num_epochs, 2);
  EXPECT_EQ(recipe.lr_scheduler, Schedule::kConstantWithWarmup);
  EXPECT_EQ(recipe.val_set_size, 0.1);
  EXPECT_FALSE(recipe.max_steps);
  EXPECT_FALSE(recipe.gradient_checkpointing);
}

TEST_F(RecipeTest, ReadsTheCourseOfTheLearningRate) {
  const Recipe restarts = load(kMinimal + "lr_scheduler: cosine_with_restarts\nlr_scheduler_kwargs: {num_cycles: 2}\n");
  EXPECT_EQ(restarts.learning_rates(10).cycles, 2);
  const LearningRate floor = load(kMinimal + "cosine_min_lr_ratio: 0.1\nwarmup_ratio: 0.1\n").learning_rates(20);
  EXPECT_EQ(floor.warmup, 2);
  EXPECT_DOUBLE_EQ(floor.at(20), 0.1 * 2e-4);
  const std::string resolved = resolved_yaml(load(
      kMinimal + "lr_scheduler: warmup_stable_decay\nlr_scheduler_kwargs: {num_decay_steps: 3, decay_type: 1-sqrt}\n"));
  EXPECT_THAT(resolved, HasSubstr("lr_scheduler_kwargs:\n  num_decay_steps: 3\n  decay_type: 1-sqrt\n"));
  EXPECT_EQ(resolved_yaml(load(resolved)), resolved);
}

TEST_F(RecipeTest, ReadsHowRowsAreMade) {
  EXPECT_EQ(load(kMinimal).pack_to(), 0);
  const Recipe packed = load(kMinimal + "sample_packing: true\npad_to_sequence_len: true\n");
  EXPECT_EQ(packed.pack_to(), 2048);
  EXPECT_EQ(packed.eval_pack_to(), 2048);
  EXPECT_EQ(load(kMinimal + "sample_packing: true\neval_sample_packing: false\n").eval_pack_to(), 0);
  EXPECT_TRUE(load(kMinimal + "packing: true\nneat_packing: true\n").sample_packing);
  EXPECT_EQ(load(kMinimal + "max_tokens_per_gpu: 4096\n").max_tokens_per_micro_batch, 4096);
  EXPECT_EQ(resolved_yaml(load(resolved_yaml(packed))), resolved_yaml(packed));
}

TEST_F(RecipeTest, ReadsWhatIsDoneToAdapterAndEmbeddings) {
  const Recipe recipe = load(kMinimal + "lora_dropout: 0.05\nuse_rslora: true\nnoisy_embedding_alpha: 5\n");
  EXPECT_EQ(recipe.lora_dropout, 0.05);
  EXPECT_TRUE(recipe.peft_use_rslora);
  EXPECT_THAT(load(kMinimal + "additional_target: embed_tokens, lm_head\n").lora_modules_to_save,
              ElementsAre("embed_tokens", "lm_head"));
  const Recipe head = load(kMinimal + "lora_modules_to_save: [model.lm_head]\n");
  EXPECT_THAT(head.lora_modules_to_save, ElementsAre("lm_head"));
  EXPECT_EQ(resolved_yaml(load(resolved_yaml(head))), resolved_yaml(head));
  EXPECT_EQ(recipe.neftune_noise_alpha, 5);
  EXPECT_EQ(resolved_yaml(load(resolved_yaml(recipe))), resolved_yaml(recipe));
}

TEST_F(RecipeTest, ReadsWhenToEvaluate) {
  const std::string held_out = kMinimal + "val_set_size: 0.1\n";
  const Recipe recipe = load(held_out +
                             "evaluation_strategy: epoch\nearly_stopping_patience: 2\nearly_stopping_threshold: 0.01\n"
                             "load_best_model_at_end: true\nmetric_for_best_model: eval_loss\n");
  EXPECT_EQ(recipe.eval_strategy, EvalStrategy::kEpoch);
  EXPECT_EQ(recipe.early_stopping_patience, 2);
  EXPECT_EQ(recipe.early_stopping_threshold, 0.01);
  EXPECT_TRUE(recipe.load_best_model_at_end);
  EXPECT_EQ(resolved_yaml(load(resolved_yaml(recipe))), resolved_yaml(recipe));
  EXPECT_EQ(load(held_out + "eval_strategy: no\n").eval_strategy, EvalStrategy::kNo);
  EXPECT_EQ(load(held_out + "eval_steps: 5\n", {"evals_per_epoch=2"}).evals_per_epoch, 2);
}

TEST_F(RecipeTest, LetsHarmlessKeysOfOtherTrainersPass) {
  load(kMinimal + R"(
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

TEST_F(RecipeTest, CommandLineHasTheLastWord) {
  EXPECT_EQ(load(kMinimal + "lora_r: 4\n", {"lora_r=8", "lora_rank=16"}).lora_r, 16);
  EXPECT_EQ(load(kMinimal, {"adapter=lora", "quantization.format=none"}).quantization.format, BaseFormat::kNone);
  EXPECT_EQ(load(kMinimal, {"quantization={group_size: 256}"}).quantization.group_size, 256);
  EXPECT_THAT(load(kMinimal, {"lora_target_modules=[o_proj]"}).lora_target_modules, ElementsAre("o_proj"));
  EXPECT_EQ(load(kMinimal + "max_steps: 3\n", {"max_steps="}).max_steps, std::nullopt);
  const Recipe recipe = load(kMinimal + "gradient_accumulation_steps: 4\n", {"global_batch_size=8"});
  EXPECT_EQ(recipe.global_batch_size, 8);
  EXPECT_EQ(recipe.gradient_accumulation_steps, 1);
}

struct BadLine {
  std::string yaml, message;
};

TEST_F(RecipeTest, SaysWhatIsWrongWhereAndWhatToDo) {
  // Line 6 is the first after the minimal recipe.
  const std::vector<BadLine> lines = {
      {"lora_rr: 16", "r.yaml:6: unknown key \"lora_rr\"; did you mean \"lora_r\"?"},
      {"learning-rate: 1", "r.yaml:6: unknown key \"learning-rate\"; did you mean \"learning_rate\"?"},
      {"lorar_: 16", "r.yaml:6: unknown key \"lorar_\"; did you mean \"lora_r\"?"},
      {"frobnicate_everything: 1", "r.yaml:6: unknown key \"frobnicate_everything\""},
      {"quantization: {formt: nf4}",
       "r.yaml:6: unknown key \"quantization.formt\"; did you mean \"quantization.format\"?"},
      {"quantization:\n  double_quant: true\n  format: nf-4",
       "r.yaml:8: quantization.format: unknown value \"nf-4\"; did you mean \"nf4\"?; one of: none, nf4"},
      {"quantization: nf4", "r.yaml:6: quantization: expected a mapping of its keys, indented below it, got \"nf4\""},
      {"lora_r: many", "r.yaml:6: lora_r: expected a whole number from 1 to 4096, got \"many\""},
      {"lora_r: 1.5", "r.yaml:6: lora_r: expected a whole number from 1 to 4096, got \"1.5\""},
      {"lora_r: 0", "r.yaml:6: lora_r: expected a whole number from 1 to 4096, got \"0\""},
      {"lora_r: [1]", "r.yaml:6: lora_r: expected a whole number from 1 to 4096, got a list"},
      {"lora_r: 8\nlora_r: 9", "r.yaml:7: lora_r: given twice; the first is at r.yaml:6"},
      {"lora_r: 8\nlora_rank: 9", "r.yaml:7: lora_rank: given twice; the first is lora_r at r.yaml:6"},
      {"lora_alpha: 0", "r.yaml:6: lora_alpha: expected a number above 0, at most 65536, got \"0\""},
      {"lora_dropout: 1", "r.yaml:6: lora_dropout: expected a number from 0 to 0.999, got \"1\""},
      {"lora_target_modules: []",
       "r.yaml:6: lora_target_modules: expected at least one name, such as [q_proj, v_proj], got a list"},
      {"lora_target_modules: [[a]]", "r.yaml:6: lora_target_modules: expected a list of words, got a list in it"},
      {"lora_target_linear: false",
       "r.yaml:6: lora_target_linear: false leaves nothing to train; name modules in lora_target_modules"},
      {"learning_rate: nan", "r.yaml:6: learning_rate: expected a number above 0, at most 1000, got \"nan\""},
      {"learning_rate: 0", "r.yaml:6: learning_rate: expected a number above 0, at most 1000, got \"0\""},
      {"num_epochs: -1", "r.yaml:6: num_epochs: expected a number above 0, at most 1000000, got \"-1\""},
      {"max_steps: 0", "r.yaml:6: max_steps: expected a whole number of at least 1, got \"0\""},
      {"max_grad_norm: -1", "r.yaml:6: max_grad_norm: expected a number of at least 0, got \"-1\""},
      {"train_on_inputs: maybe", "r.yaml:6: train_on_inputs: expected true or false, got \"maybe\""},
      {"bf16: 16", "r.yaml:6: bf16: expected true or false, got \"16\""},
      {"fp16: half", "r.yaml:6: fp16: expected true or false, got \"half\""},
      {"fp16: full", "r.yaml:6: fp16: full is not supported in this version"},
      {"bf16: true\nfp16: true", "r.yaml:7: fp16: not together with bf16: true (r.yaml:6)"},
      {"lr_scheduler: cosin",
       "r.yaml:6: lr_scheduler: unknown value \"cosin\"; did you mean \"cosine\"?; one of: cosine, linear, "
       "constant, constant_with_warmup"},
      {"lr_scheduler: rex", "one of: cosine, linear, constant, constant_with_warmup, cosine_with_restarts"},
      {"lr_scheduler_kwargs: {num_cycles: 2, power: 2}",
       "r.yaml:6: lr_scheduler_kwargs.power: lr_scheduler: cosine knows no power; it takes num_cycles"},
      {"lr_scheduler_kwargs: {num_cycle: 2}", "r.yaml:6: unknown key \"lr_scheduler_kwargs.num_cycle\"; did you mean"},
      {"lr_scheduler: cosine_with_min_lr", "r.yaml:6: lr_scheduler: cosine_with_min_lr needs lr_scheduler_kwargs"},
      {"lr_scheduler: warmup_stable_decay", "{num_decay_steps: 100}, the steps of its fall"},
      {"lr_scheduler: polynomial\nlr_scheduler_kwargs: {lr_end: 1}", "which has to be smaller"},
      {"lr_scheduler: linear\ncosine_min_lr_ratio: 0.1",
       "r.yaml:7: cosine_min_lr_ratio: goes with lr_scheduler: cosine, not with linear; remove it"},
      {"lr_scheduler: constant\nwarmup_steps: 5", "r.yaml:7: warmup_steps: lr_scheduler: constant has no warm-up"},
      {"eval_steps: 2.5", "r.yaml:6: eval_steps: expected a whole number of steps or a fraction below 1"},
      {"eval_strategy: epoch\neval_steps: 5",
       "r.yaml:7: eval_steps: needs eval_strategy: steps, but r.yaml:6 says epoch"},
      {"eval_strategy: steps", "r.yaml:6: eval_strategy: steps needs to know how often"},
      {"eval_steps: 5\nevals_per_epoch: 2", "r.yaml:7: evals_per_epoch: not together with eval_steps (r.yaml:6)"},
      {"early_stopping_patience: 2\neval_steps: 5", "r.yaml:6: early_stopping_patience: nothing is held out"},
      {"load_best_model_at_end: true\nval_set_size: 0.1",
       "r.yaml:6: load_best_model_at_end: needs evaluations during the run"},
      {"metric_for_best_model: accuracy", "r.yaml:6: metric_for_best_model: expected eval_loss, the only metric"},
      {"optimizer: lion",
       "r.yaml:6: optimizer: expected adamw (or adamw_torch, adamw_torch_fused), the only optimizer of this "
       "version, got \"lion\""},
      {"backend: opencl", "r.yaml:6: backend: "},
      {"chat_template: chatlm", "r.yaml:6: chat_template: unknown chat template \"chatlm\"; did you mean \"chatml\"?"},
      {"chat_template: jinja", "r.yaml:6: chat_template: chat_template: jinja needs chat_template_jinja"},
      {"lora_modules_to_save: [norm]", "r.yaml:6: lora_modules_to_save: expected embed_tokens and lm_head, or one of"},
      {"sample_packing: true\ngroup_by_length: true",
       "r.yaml:7: group_by_length: not together with sample_packing, whose rows are all about as long"},
      {"max_tokens_per_micro_batch: 100",
       "r.yaml:6: max_tokens_per_micro_batch: a row may have sequence_len (2048) tokens"},
      {"resume_from_checkpoint: x",
       "r.yaml:6: resume_from_checkpoint: known, but not supported in this version; a run starts anew; go on with an "
       "adapter by lora_model_dir (or set it to false)"},
      {"sharding: {offload: true}",
       "r.yaml:6: sharding.offload: known, but not supported in this version; memory is shared out by "
       "memory.device_limit and memory.host_limit; remove it (or set it to false)"},
      {"global_batch_size: 8\ngradient_accumulation_steps: 2",
       "r.yaml:7: gradient_accumulation_steps: not together with global_batch_size (r.yaml:6); keep one of them"},
      {"warmup_steps: 8\nwarmup_ratio: 0.1",
       "r.yaml:7: warmup_ratio: not together with warmup_steps (r.yaml:6); keep one of them"},
      {"val_set_size: 0.1\ntest_datasets: [a.jsonl]",
       "r.yaml:6: val_set_size: not together with test_datasets (r.yaml:7); set it to 0 or remove them"},
      {"micro_batch_size: 4\nglobal_batch_size: 2",
       "r.yaml:7: global_batch_size: 2 rows are less than one micro-batch (4)"},
      {"load_in_4bit: false",
       "r.yaml:6: load_in_4bit: adapter: qlora needs a quantised base; write adapter: lora, or format nf4"},
      {"load_in_4bit: true\nquantization: {format: none}",
       "r.yaml:7: quantization.format: says the opposite of load_in_4bit (r.yaml:6); keep one of them"},
      {"quantization: {group_size: 48}",
       "r.yaml:6: quantization.group_size: expected a power of two from 32 to 4096, got \"48\""},
      {"val_set_size: 2.5",
       "r.yaml:6: val_set_size: expected a fraction below 1 or a whole number of rows, got \"2.5\""},
      {"memory: {device_limit: 24 gigs}",
       "r.yaml:6: memory.device_limit: expected a size such as 24GiB, 512MiB or a number of bytes, got \"24 gigs\""},
      {"test_datasets: [{type: alpacca}]",
       "r.yaml:6: test_datasets[].type: unknown value \"alpacca\"; did you mean \"alpaca\"?; one of: chat_template, "
       "input_output, pre_tokenized, alpaca, prompt_completion, completion; or leave it out"},
      {"test_datasets: [{path: x, split: test}]",
       "r.yaml:6: test_datasets[].split: test is not supported in this version; name the file with data_files"},
      {"test_datasets: [{type: messages}]",
       "r.yaml:6: test_datasets: a dataset without a path; add \"path: rows.jsonl\""},
      {"test_datasets: [{pth: x}]",
       "r.yaml:6: unknown key \"pth\" of a dataset; did you mean \"path\"?; this version knows path, data_files, "
       "type, "},
      {"seed: &a 3", "r.yaml:6: anchors (&name) are not supported here; write the value out where it is needed"},
      {"seed: *a", "r.yaml:6: "},
      {"seed: !!int 3", "r.yaml:6: tags (tag:yaml.org,2002:int) are not supported here; remove it"},
      {"seed: {a: b", "not valid YAML"},
      {"---\nseed: 1", "r.yaml: holds more than one YAML document (\"---\"); keep one"},
      {"[a, b]: 1", "r.yaml:6: a key must be a plain word"},
  };
  for (const BadLine& line : lines)
    EXPECT_THAT(error_of(kMinimal + line.yaml + "\n"), HasSubstr(line.message)) << line.yaml;
}

TEST_F(RecipeTest, SaysWhatIsMissing) {
  EXPECT_THAT(error_of("adapter: lora\n"),
              HasSubstr("r.yaml: base_model is missing; name a Hugging Face folder or a GGUF file"));
  EXPECT_THAT(error_of("base_model: x\n"), HasSubstr("r.yaml: adapter is missing; write adapter: qlora"));
  EXPECT_THAT(error_of("base_model: x\nadapter: lora\n"), HasSubstr("r.yaml: datasets is missing"));
  EXPECT_THAT(error_of(""), HasSubstr("base_model is missing"));
  EXPECT_THAT(error_of("just text\n"), HasSubstr("r.yaml:1: a recipe is a list of \"key: value\" lines"));
  EXPECT_THROW(load_recipe("absent.yaml"), Error);
}

TEST_F(RecipeTest, NamesTheCommandLine) {
  EXPECT_EQ(error_of(kMinimal, {"lora_rr=3"}), "command line: unknown key \"lora_rr\"; did you mean \"lora_r\"?");
  EXPECT_EQ(error_of(kMinimal, {"lora_r=x"}),
            "command line: lora_r: expected a whole number from 1 to 4096, got \"x\"");
  EXPECT_THROW(load(kMinimal, {"lora_r"}), UsageError);
}

TEST_F(RecipeTest, RefusesWhatIsTooLargeOrTooDeep) {
  EXPECT_NE(error_of(kMinimal + "# " + std::string(1 << 20, 'x') + "\n"), "no error");
  EXPECT_THAT(error_of(kMinimal + "seed: " + std::string(40, '[') + std::string(40, ']') + "\n"),
              HasSubstr("nested deeper than 32 levels"));
  EXPECT_NE(error_of(kMinimal + "seed: " + std::string(100000, '[') + "\n"), "no error");
  EXPECT_THAT(error_of(kMinimal + std::string("seed: \0", 7)), HasSubstr("r.yaml:6: not a text file"));
}

}  // namespace
}  // namespace shardlora
