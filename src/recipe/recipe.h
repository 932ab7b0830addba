// A recipe: everything that a run is told, from a YAML file and from key=value on the command line. Names are
// axolotl's, with Hugging Face's as aliases. Reading is strict: an unknown key, a wrong type or a value out of range is
// an Error with file and line, all of them in one; keys of other trainers are passed over, taken for something near or
// refused, as the tables in foreign_*_keys.cpp say. Adding a key is a member here and a row in a *_fields.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/formats/dataset_source.h"
#include "data/template_choice.h"
#include "data/train_on.h"
#include "optim/schedule.h"
#include "param/spec.h"

namespace shardlora {

enum class AdapterKind : std::uint8_t { kLora, kQLora };
enum class Backend : std::uint8_t { kAuto, kCpu, kCuda };  // kAuto: GPUs where every rank has one
enum class UseDtype : std::uint8_t { kAuto, kYes, kNo };   // to compute in; auto: where it is faster than f32
enum class EvalStrategy : std::uint8_t { kNo, kSteps, kEpoch };

// What the frozen base rests as: the dtype that is computed in, the blocks of a quantised GGUF file, or a codec's name.
inline constexpr const char *kNotQuantised = "none", *kAsInGguf = "gguf";
inline constexpr const char* kFourBit = "nf4";  // where nobody says which four bits
// A word for `format` by regular expressions for the ends of modules' names: NameRules.
using FormatRules = std::vector<std::pair<std::string, std::string>>;
struct Quantization {
  std::string format = kNotQuantised;
  bool by_name = false;  // the format was asked for by name, so a base that is quantised already gets it, too
  std::int64_t group_size = 64;
  bool double_quant = true;    // of nf4 only
  FormatRules overrides = {};  // of modules that do not rest in `format`
  bool operator==(const Quantization&) const = default;
};
// The words for `format`.
std::vector<std::string> base_formats();
// Of "quantization.overrides={down_proj: bf16}", read as load_recipe reads it; another key is an Error.
FormatRules format_rules(const std::string& setting);
// Whether a base of this format has fewer bits than f16.
bool is_quantised(const std::string& format);

// lr_scheduler_kwargs: what some schedules let one choose, under transformers' names.
struct ScheduleKwargs {
  std::optional<double> num_cycles, min_lr, min_lr_rate, min_lr_ratio, lr_end, power;
  std::optional<std::int64_t> timescale, num_decay_steps, num_stable_steps;
  std::optional<Curve> warmup_type, decay_type;
};

struct Recipe {
  std::string base_model;  // a Hugging Face folder or a GGUF file
  // A folder for models that are quantised here; not given: a folder of the user's own, for large ones; "": none.
  std::optional<std::string> base_prepared_path;
  AdapterKind adapter = AdapterKind::kQLora;
  Quantization quantization;  // adapter: qlora brings nf4
  std::int64_t lora_r = 8;
  double lora_alpha = 8;
  bool lora_alpha_by_rank = false;     // lora_alpha was left out of a recipe of LLaMA-Factory: twice the rank
  std::optional<double> lora_dropout;  // not given: that of lora_model_dir, else 0
  std::vector<std::string> lora_modules_to_save;  // embed_tokens, lm_head: train as a whole, with the adapter
  bool peft_use_rslora = false;                   // scale alpha / sqrt(r)
  std::vector<std::string> lora_target_modules;   // used unless lora_target_linear
  std::string lora_target_pattern;                // instead of them: a regular expression for whole names of modules
  // As in LoraConfig.
  std::vector<std::pair<std::string, std::int64_t>> lora_rank_pattern;
  std::vector<std::pair<std::string, double>> lora_alpha_pattern;
  std::vector<std::int64_t> lora_layers_to_transform;
  std::vector<std::string> lora_layers_pattern;
  bool lora_target_linear = true;  // all linears of the layers; false once lora_target_modules is given
  std::string lora_model_dir;      // a PEFT adapter to start from; empty: a new one
  // Where the keys about the adapter stand that were given, by key: "recipe.yaml:8: lora_rank".
  std::map<std::string, std::string> adapter_places;
  std::vector<std::string> notes;  // what its reader should know: keys without effect, keys taken for something near

  std::vector<DatasetSource> datasets;
  std::vector<DatasetSource> test_datasets;
  // A folder for prepared samples; not given: a folder of the user's own, for what is worth keeping; "": none.
  std::optional<std::string> dataset_prepared_path;
  bool dataset_exact_deduplication = false;
  double val_set_size = 0;       // below 1 a fraction of the rows, from 1 on a number of rows
  TemplateChoice chat_template;  // chat_template and chat_template_jinja
  bool train_on_inputs = false;
  std::int64_t sequence_len = 2048;
  std::optional<ExcessLength> excess_length_strategy;  // not given: cut, as long as at most 1 % of the rows need it

  // Several samples in a row of up to sequence_len tokens; each still sees itself only.
  bool sample_packing = false;
  std::optional<bool> eval_sample_packing;  // not given: as sample_packing
  bool group_by_length = false;             // samples of similar length share a step

  std::int64_t micro_batch_size = 1;  // rows
  // Tokens of a micro-batch at most: it then holds rows of similar length, however many; micro_batch_size only counts
  // the rows of a step. 0: micro_batch_size rows.
  std::int64_t max_tokens_per_micro_batch = 0;
  std::optional<std::int64_t> global_batch_size;  // rows of a step; not given: micro x accumulation x ranks
  std::int64_t gradient_accumulation_steps = 1;   // never given together with global_batch_size
  double num_epochs = 1;
  std::optional<std::int64_t> max_steps;  // takes the place of num_epochs

  double learning_rate = 2e-4;
  Schedule lr_scheduler = Schedule::kCosine;
  ScheduleKwargs lr_scheduler_kwargs;
  std::optional<double> cosine_min_lr_ratio;  // axolotl's floor of lr_scheduler: cosine
  std::optional<std::int64_t> warmup_steps;   // not both
  std::optional<double> warmup_ratio;         // of all steps
  double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8;
  double weight_decay = 0;
  double max_grad_norm = 1;        // 0: no clipping
  double neftune_noise_alpha = 0;  // noise on the embeddings while training

  // Evaluation of what is held out: always at the end, unless eval_strategy says no. At most one of the others.
  std::optional<EvalStrategy> eval_strategy;
  std::optional<double> eval_steps;                     // below 1 a fraction of all steps; 0: only at the end
  std::optional<std::int64_t> evals_per_epoch;          // 0: only at the end
  std::optional<std::int64_t> early_stopping_patience;  // evaluations without a better loss
  double early_stopping_threshold = 0;                  // what a loss must fall by to count as better
  bool load_best_model_at_end = false;                  // write the adapter of the lowest eval loss, not the last one
  std::int64_t logging_steps = 1;
  std::string output_dir = "./model-out";
  std::string profile;  // the file for a Chrome trace of the first steps; empty: none
  std::uint64_t seed = 42;
  Backend backend = Backend::kAuto;
  // At most one of them yes. Both auto: bf16, else f16 with loss scaling, else f32.
  UseDtype bf16 = UseDtype::kAuto, fp16 = UseDtype::kAuto;
  std::optional<bool> gradient_checkpointing;  // not given: where memory asks for it
  std::string deterministic = "strict";
  // What is not given follows from memory (run/memory_plan.h).
  std::optional<Sharding> sharding;  // sharding.strategy: full_shard or replicate
  std::optional<Tier> offload_base, offload_layer_inputs, offload_optimizer;
  std::uint64_t device_limit = 0, host_limit = 0;  // memory.*: bytes; 0: what is there (run/ranks.cpp)

  // Tokens of a packed row, in training and in evaluation; 0: a sample is a row.
  std::int64_t pack_to() const { return sample_packing ? sequence_len : 0; }
  std::int64_t eval_pack_to() const { return eval_sample_packing.value_or(sample_packing) ? sequence_len : 0; }
  // warmup_steps, or ceil(warmup_ratio x total) as transformers has it, or 0.
  std::int64_t warmup(std::int64_t total_steps) const;
  // lr_scheduler and all that shapes it, for a run of so many steps.
  LearningRate learning_rates(std::int64_t total_steps) const;
};

// Reads `path`, then the overrides ("lora_r=16", "quantization.format=none"; values are YAML) in order, the last word
// winning. Checks every value and what they mean together. Doesn't look whether files exist.
Recipe load_recipe(const std::string& path, const std::vector<std::string>& overrides = {});

// Every key with its value, as YAML that load_recipe reads back to the same recipe.
std::string resolved_yaml(const Recipe& recipe);

}  // namespace shardlora
