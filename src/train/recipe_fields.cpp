#include "train/recipe_fields.h"

#include <algorithm>
#include <limits>

#include "train/dataset_fields.h"

namespace shardlora {
namespace {

using Field = ConfigField<RecipeDraft>;
using Names = std::vector<std::string>;

constexpr std::int64_t kMany = std::numeric_limits<std::int64_t>::max();
constexpr double kUnbounded = std::numeric_limits<double>::infinity();

// The kinds of rows. `min` and `max` are the accepted range.
Field text(std::string name, std::string Recipe::* member, Names aliases = {}) {
  return {std::move(name), std::move(aliases),
          [member](RecipeDraft& r, const ConfigValue& v) { r.*member = to_text(v); },
          [member](const RecipeDraft& r) { return (r.*member).empty() ? "" : yaml_text(r.*member); }};
}

Field flag(std::string name, bool Recipe::* member, Names aliases = {}) {
  return {std::move(name), std::move(aliases),
          [member](RecipeDraft& r, const ConfigValue& v) { r.*member = to_bool(v); },
          [member](const RecipeDraft& r) { return std::string(r.*member ? "true" : "false"); }};
}

// `T` is std::int64_t or an optional one.
template <typename T>
Field whole(std::string name, T Recipe::* member, std::int64_t min, std::int64_t max, Names aliases = {}) {
  return {std::move(name), std::move(aliases),
          [=](RecipeDraft& r, const ConfigValue& v) { r.*member = to_integer(v, min, max); },
          [member](const RecipeDraft& r) {
            if constexpr (std::is_same_v<T, std::int64_t>)
              return std::to_string(r.*member);
            else
              return r.*member ? std::to_string(*(r.*member)) : std::string();
          }};
}

template <typename T>
Field number(std::string name, T Recipe::* member, double min, double max, Names aliases = {}) {
  return {std::move(name), std::move(aliases),
          [=](RecipeDraft& r, const ConfigValue& v) { r.*member = to_number(v, min, max); },
          [member](const RecipeDraft& r) {
            if constexpr (std::is_same_v<T, double>)
              return fmt::format("{}", r.*member);
            else
              return r.*member ? fmt::format("{}", *(r.*member)) : std::string();
          }};
}

template <typename T>
Field choice(std::string name, T Recipe::* member, const Choices<T>& choices, Names aliases = {}) {
  return {std::move(name), std::move(aliases),
          [=](RecipeDraft& r, const ConfigValue& v) { r.*member = to_choice(v, choices); },
          [=](const RecipeDraft& r) { return choice_name(r.*member, choices); }};
}

Field bytes(std::string name, std::uint64_t Recipe::* member) {
  return {std::move(name),
          {},
          [member](RecipeDraft& r, const ConfigValue& v) { r.*member = to_bytes(v); },
          [member](const RecipeDraft& r) { return bytes_text(r.*member); }};
}

// A list, or words between commas.
Names split_words(const ConfigValue& value) {
  Names words;
  for (const std::string& text : to_words(value))
    for (std::string& word : comma_separated(text)) words.push_back(std::move(word));
  return words;
}

// Only one value means something in this version; `others` are words of other trainers that get this advice.
Field only(std::string name, Names accepted, const std::string& what, Names aliases = {}) {
  return {std::move(name), std::move(aliases),
          [=](RecipeDraft&, const ConfigValue& v) {
            const std::string word = to_text(v);
            for (const std::string& value : accepted) {
              if (value == word) return;
            }
            expected(v, what);
          },
          [written = accepted.front()](const RecipeDraft&) { return written; }};
}

// LLaMA-Factory's list of data sets: names between commas. Here they are files.
Field files(std::string name, std::vector<DatasetSource> Recipe::* member) {
  return {std::move(name),
          {},
          [member](RecipeDraft& r, const ConfigValue& v) {
            for (const std::string& word : split_words(v)) {
              if (word.find('.') == std::string::npos && word.find('/') == std::string::npos)
                fail(
                    "{}: {}: \"{}\" is a name of dataset_info.json, which is not read here; name its file instead, or "
                    "write datasets: with \"- path: rows.jsonl\" below it",
                    v.node.place, v.name, word);
              (r.*member).push_back({.path = word});
            }
          },
          nullptr};
}

Field sources(std::string name, std::vector<DatasetSource> Recipe::* member) {
  return {std::move(name),
          {},
          [member](RecipeDraft& r, const ConfigValue& v) { r.*member = to_datasets(v, r.said); },
          [member](const RecipeDraft& r) { return datasets_yaml(r.*member); }};
}

const Choices<BaseFormat> kFormats{{"none", BaseFormat::kNone}, {"nf4", BaseFormat::kNF4}};

// The base's format is settled from adapter, load_in_4bit and quantization.format together, in recipe.cpp.
std::vector<Field> base_fields() {
  return {
      text("base_model", &Recipe::base_model, {"model_name_or_path", "model"}),
      choice<AdapterKind>("adapter", &Recipe::adapter, {{"lora", AdapterKind::kLora}, {"qlora", AdapterKind::kQLora}},
                          {"finetuning_type"}),
      {"load_in_4bit", {}, [](RecipeDraft& r, const ConfigValue& v) { r.load_in_4bit = to_bool(v); }, nullptr},
      {"quantization_bit",
       {},
       [](RecipeDraft& r, const ConfigValue& v) {
         if (to_text(v) != "4") expected(v, "4 (NF4), the only width of this version");
         r.load_in_4bit = true;
       },
       nullptr},
      only("quantization_method", {"bnb", "bitsandbytes"}, "bnb"),
      {"quantization.format",
       {"bnb_4bit_quant_type", "bnb_config_kwargs.bnb_4bit_quant_type", "quantization_type"},
       [](RecipeDraft& r, const ConfigValue& v) { r.format = to_choice(v, kFormats); },
       [](const RecipeDraft& r) { return choice_name(r.quantization.format, kFormats); }},
      {"quantization.group_size",
       {},
       [](RecipeDraft& r, const ConfigValue& v) {
         r.quantization.group_size = to_integer(v, 32, 4096);
         if ((r.quantization.group_size & (r.quantization.group_size - 1)) != 0)
           expected(v, "a power of two from 32 to 4096");
       },
       [](const RecipeDraft& r) { return std::to_string(r.quantization.group_size); }},
      {"quantization.double_quant",
       {"double_quantization", "bnb_4bit_use_double_quant", "bnb_config_kwargs.bnb_4bit_use_double_quant"},
       [](RecipeDraft& r, const ConfigValue& v) { r.quantization.double_quant = to_bool(v); },
       [](const RecipeDraft& r) { return std::string(r.quantization.double_quant ? "true" : "false"); }},
  };
}

std::vector<Field> adapter_fields() {
  return {
      whole("lora_r", &Recipe::lora_r, 1, 4096, {"lora_rank", "r"}),
      number("lora_alpha", &Recipe::lora_alpha, 0, 65536),
      {"lora_dropout",
       {},
       [](RecipeDraft& r, const ConfigValue& v) {
         r.lora_dropout = to_number(v, 0, 1);
         if (*r.lora_dropout > 0.999) expected(v, "a number from 0 to 0.999");
       },
       [](const RecipeDraft& r) { return r.lora_dropout ? fmt::format("{}", *r.lora_dropout) : std::string(); }},
      {"lora_modules_to_save",
       {"modules_to_save", "additional_target"},
       [](RecipeDraft& r, const ConfigValue& v) {
         r.lora_modules_to_save.clear();
         for (std::string& word : split_words(v)) {
           word.erase(0, word.rfind('.') + 1);  // "model.embed_tokens"
           if (word != "embed_tokens" && word != "lm_head") expected(v, "embed_tokens and lm_head, or one of them");
           r.lora_modules_to_save.push_back(std::move(word));
         }
       },
       [](const RecipeDraft& r) {
         std::string list;
         for (const std::string& word : r.lora_modules_to_save) list += (list.empty() ? "[" : ", ") + word;
         return list.empty() ? list : list + "]";
       }},
      flag("peft_use_rslora", &Recipe::peft_use_rslora, {"use_rslora"}),
      flag("lora_target_linear", &Recipe::lora_target_linear),  // after lora_target_modules: the stronger word
      text("lora_model_dir", &Recipe::lora_model_dir, {"adapter_name_or_path"}),
  };
}

std::vector<Field> data_fields() {
  return {
      sources("datasets", &Recipe::datasets),
      sources("test_datasets", &Recipe::test_datasets),
      files("dataset", &Recipe::datasets),
      files("eval_dataset", &Recipe::test_datasets),
      {"max_samples",
       {},
       [](RecipeDraft& r, const ConfigValue& v) { r.max_samples = to_integer(v, 1, 1LL << 53); },
       nullptr},
      {"dataset_prepared_path",
       {},
       [](RecipeDraft& r, const ConfigValue& v) {
         const std::string path = to_text(v);
         r.dataset_prepared_path = path == "none" || path == "false" ? "" : path;
       },
       [](const RecipeDraft& r) -> std::string {
         if (!r.dataset_prepared_path) return "";
         return r.dataset_prepared_path->empty() ? "none" : yaml_text(*r.dataset_prepared_path);
       }},
      flag("dataset_exact_deduplication", &Recipe::dataset_exact_deduplication),
      {"val_set_size",
       {"val_size"},
       [](RecipeDraft& r, const ConfigValue& v) {
         r.val_set_size = to_number(v, 0, 1e12);
         if (r.val_set_size >= 1 && r.val_set_size != static_cast<double>(static_cast<std::int64_t>(r.val_set_size)))
           expected(v, "a fraction below 1 or a whole number of rows");
       },
       [](const RecipeDraft& r) { return fmt::format("{}", r.val_set_size); }},
      flag("train_on_inputs", &Recipe::train_on_inputs, {"train_on_prompt"}),
      whole("sequence_len", &Recipe::sequence_len, 8, 1 << 24, {"cutoff_len", "max_length", "max_seq_length"}),
      {"excess_length_strategy",
       {},
       [](RecipeDraft& r, const ConfigValue& v) {
         r.excess_length_strategy = to_choice<ExcessLength>(v, {{"truncate", ExcessLength::kTruncate},
                                                                {"drop", ExcessLength::kDrop},
                                                                {"error", ExcessLength::kError},
                                                                {"raise", ExcessLength::kError}});
       },
       [](const RecipeDraft& r) -> std::string {
         if (!r.excess_length_strategy) return "";
         const ExcessLength strategy = *r.excess_length_strategy;
         return strategy == ExcessLength::kTruncate ? "truncate" : strategy == ExcessLength::kDrop ? "drop" : "error";
       }},
  };
}

// LLaMA-Factory's recipes give both of its words for packing.
Field packing(std::string name) {
  return {std::move(name),
          {},
          [](RecipeDraft& r, const ConfigValue& v) { r.sample_packing = to_bool(v) || r.sample_packing; },
          nullptr};
}

std::vector<Field> step_fields() {
  return {
      flag("sample_packing", &Recipe::sample_packing),
      packing("packing"),
      packing("neat_packing"),
      {"eval_sample_packing",
       {"eval_packing"},
       [](RecipeDraft& r, const ConfigValue& v) { r.eval_sample_packing = to_bool(v); },
       [](const RecipeDraft& r) -> std::string {
         return !r.eval_sample_packing ? "" : *r.eval_sample_packing ? "true" : "false";
       }},
      flag("group_by_length", &Recipe::group_by_length),
      {"train_sampling_strategy",
       {},
       [](RecipeDraft& r, const ConfigValue& v) {
         const std::string word = to_text(v);
         if (word != "random" && word != "group_by_length")
           expected(v, "random or group_by_length; rows come in an order drawn from seed");
         r.group_by_length = word == "group_by_length" || r.group_by_length;
       },
       nullptr},
      whole("micro_batch_size", &Recipe::micro_batch_size, 1, 1 << 20, {"per_device_train_batch_size", "batch_size"}),
      whole("max_tokens_per_micro_batch", &Recipe::max_tokens_per_micro_batch, 0, kMany, {"max_tokens_per_gpu"}),
      whole("global_batch_size", &Recipe::global_batch_size, 1, 1 << 24),
      {"gradient_accumulation_steps",
       {},
       [](RecipeDraft& r, const ConfigValue& v) { r.gradient_accumulation_steps = to_integer(v, 1, 1 << 20); },
       [](const RecipeDraft& r) {
         return r.global_batch_size ? std::string() : std::to_string(r.gradient_accumulation_steps);
       }},
      number("num_epochs", &Recipe::num_epochs, 0, 1e6, {"num_train_epochs"}),
      {"max_steps",
       {},
       [](RecipeDraft& r, const ConfigValue& v) {
         if (to_text(v) == "-1") return;  // Hugging Face's "not given"
         r.max_steps = to_integer(v, 1, kMany);
       },
       [](const RecipeDraft& r) { return r.max_steps ? std::to_string(*r.max_steps) : std::string(); }},
      number("learning_rate", &Recipe::learning_rate, 0, 1e3, {"lr"}),
      {"optimizer", {"optim"}, read_optimizer, [](const RecipeDraft&) { return std::string("adamw"); }},
      number("adam_beta1", &Recipe::adam_beta1, 0, 0.999999),
      number("adam_beta2", &Recipe::adam_beta2, 0, 0.99999999),
      number("adam_epsilon", &Recipe::adam_epsilon, 0, 1),
      number("weight_decay", &Recipe::weight_decay, 0, 1e3),
      number("max_grad_norm", &Recipe::max_grad_norm, 0, kUnbounded),
      number("neftune_noise_alpha", &Recipe::neftune_noise_alpha, 0, 1e6, {"noisy_embedding_alpha"}),
  };
}

Field use_dtype(std::string name, UseDtype Recipe::* member, Names aliases) {
  return {std::move(name), std::move(aliases),
          [member](RecipeDraft& r, const ConfigValue& v) {
            const std::string word = v.node.kind == ConfigNode::Kind::kScalar ? v.node.text : "";
            if (word == "full")
              fail("{}: {}: full is not supported in this version; set it to auto or true", v.node.place, v.name);
            r.*member = word == "auto" ? UseDtype::kAuto : to_bool(v) ? UseDtype::kYes : UseDtype::kNo;
          },
          [member](const RecipeDraft& r) -> std::string {
            return r.*member == UseDtype::kAuto ? "auto" : r.*member == UseDtype::kYes ? "true" : "false";
          }};
}

std::vector<Field> run_fields() {
  return {
      whole("logging_steps", &Recipe::logging_steps, 1, kMany),
      text("output_dir", &Recipe::output_dir),
      {"seed",
       {},
       [](RecipeDraft& r, const ConfigValue& v) { r.seed = static_cast<std::uint64_t>(to_integer(v, 0, kMany)); },
       [](const RecipeDraft& r) { return std::to_string(r.seed); }},
      choice<Backend>("backend", &Recipe::backend,
                      {{"auto", Backend::kAuto}, {"cpu", Backend::kCpu}, {"cuda", Backend::kCuda}}),
      {"use_cpu",
       {},
       [](RecipeDraft& r, const ConfigValue& v) {
         if (to_bool(v)) r.backend = Backend::kCpu;
       },
       nullptr},
      use_dtype("bf16", &Recipe::bf16, {"bfloat16"}),
      use_dtype("fp16", &Recipe::fp16, {"float16"}),
      {"gradient_checkpointing",
       {},
       read_checkpointing,
       [](const RecipeDraft& r) { return std::string(r.gradient_checkpointing ? "true" : "false"); }},
      {"disable_gradient_checkpointing",
       {},
       [](RecipeDraft& r, const ConfigValue& v) { r.gradient_checkpointing = !to_bool(v); },
       nullptr},
      only("deterministic", {"strict", "true"}, "strict, the only mode of the CPU backend"),
      choice<Sharding>("sharding.strategy", &Recipe::sharding,
                       {{"full_shard", Sharding::kSharded},
                        {"FULL_SHARD", Sharding::kSharded},
                        {"zero3", Sharding::kSharded},
                        {"replicate", Sharding::kReplicated},
                        {"ddp", Sharding::kReplicated},
                        {"no_shard", Sharding::kReplicated},
                        {"NO_SHARD", Sharding::kReplicated}}),
      bytes("memory.device_limit", &Recipe::device_limit),
      bytes("memory.host_limit", &Recipe::host_limit),
  };
}

}  // namespace

const std::vector<ConfigField<RecipeDraft>>& recipe_fields() {
  static const std::vector<Field> table = [] {
    std::vector<Field> all;
    for (auto part : {base_fields(), adapted_module_fields(), adapter_fields(), data_fields(), template_fields(),
                      step_fields(), schedule_fields(), evaluation_fields(), run_fields()})
      all.insert(all.end(), part.begin(), part.end());
    return all;
  }();
  return table;
}

}  // namespace shardlora
