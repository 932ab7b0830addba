// What a recipe may not say, and what is told then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recipe/recipe_text.h"

namespace shardlora {
namespace {

using ::testing::HasSubstr;

const std::string kMinimal = R"(base_model: model.gguf
adapter: qlora
datasets:
  - path: rows.jsonl
    type: chat_template
)";

struct BadLine {
  std::string yaml, message;
};

TEST(RecipeErrors, SaysWhatIsWrongWhereAndWhatToDo) {
  // Line 6 is the first after the minimal recipe.
  const std::vector<BadLine> lines = {
      {"lora_rr: 16", "r.yaml:6: unknown key \"lora_rr\"; did you mean \"lora_r\"?"},
      {"learning-rate: 1", "r.yaml:6: unknown key \"learning-rate\"; did you mean \"learning_rate\"?"},
      {"lorar_: 16", "r.yaml:6: unknown key \"lorar_\"; did you mean \"lora_r\"?"},
      {"frobnicate_everything: 1", "r.yaml:6: unknown key \"frobnicate_everything\""},
      {"quantization: {formt: nf4}",
       "r.yaml:6: unknown key \"quantization.formt\"; did you mean \"quantization.format\"?"},
      {"quantization:\n  double_quant: true\n  format: nf-4",
       "r.yaml:8: quantization.format: unknown value \"nf-4\"; did you mean \"nf4\"?; one of: none, gguf, f32, bf16, "
       "f16, nf4"},
      {"quantization:\n  overrides: {down_proj: nf-4}",
       "r.yaml:7: quantization.overrides.down_proj: unknown value \"nf-4\"; did you mean \"nf4\"?"},
      {"quantization:\n  overrides: {\"(down\": nf4}", "r.yaml:7: quantization.overrides: \"(down\""},
      {"quantization:\n  overrides: nf4",
       "r.yaml:7: quantization.overrides: expected a mapping such as {down_proj: bf16}, got \"nf4\""},
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
      {"sharding: {offload: cpu}",
       "r.yaml:6: sharding.offload: unknown value \"cpu\"; one of: none, false, host, true, disk"},
      {"offload: {layer_inputs: nvme}",
       "r.yaml:6: offload.layer_inputs: unknown value \"nvme\"; one of: none, host, disk"},
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
    EXPECT_THAT(error_of_text(kMinimal + line.yaml + "\n"), HasSubstr(line.message)) << line.yaml;
}

TEST(RecipeErrors, SaysWhatIsMissing) {
  EXPECT_THAT(error_of_text("adapter: lora\n"),
              HasSubstr("r.yaml: base_model is missing; name a Hugging Face folder or a GGUF file"));
  EXPECT_THAT(error_of_text("base_model: x\n"), HasSubstr("r.yaml: adapter is missing; write adapter: qlora"));
  EXPECT_THAT(error_of_text("base_model: x\nadapter: lora\n"), HasSubstr("r.yaml: datasets is missing"));
  EXPECT_THAT(error_of_text(""), HasSubstr("base_model is missing"));
  EXPECT_THAT(error_of_text("just text\n"), HasSubstr("r.yaml:1: a recipe is a list of \"key: value\" lines"));
  EXPECT_THROW(load_recipe("absent.yaml"), Error);
}

TEST(RecipeErrors, NamesTheCommandLine) {
  EXPECT_EQ(error_of_text(kMinimal, {"lora_rr=3"}), "command line: unknown key \"lora_rr\"; did you mean \"lora_r\"?");
  EXPECT_EQ(error_of_text(kMinimal, {"lora_r=x"}),
            "command line: lora_r: expected a whole number from 1 to 4096, got \"x\"");
  EXPECT_THROW(load_text(kMinimal, {"lora_r"}), UsageError);
}

TEST(RecipeErrors, RefusesWhatIsTooLargeOrTooDeep) {
  EXPECT_NE(error_of_text(kMinimal + "# " + std::string(1 << 20, 'x') + "\n"), "no error");
  EXPECT_THAT(error_of_text(kMinimal + "seed: " + std::string(40, '[') + std::string(40, ']') + "\n"),
              HasSubstr("nested deeper than 32 levels"));
  EXPECT_NE(error_of_text(kMinimal + "seed: " + std::string(100000, '[') + "\n"), "no error");
  EXPECT_THAT(error_of_text(kMinimal + std::string("seed: \0", 7)), HasSubstr("r.yaml:6: not a text file"));
}

}  // namespace
}  // namespace shardlora
