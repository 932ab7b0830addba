// Keys of axolotl and of Hugging Face's trainers that this version doesn't have. A pasted recipe passes where they ask
// for nothing and stops, with the line, where they ask for something.
#include "train/recipe_fields.h"

namespace shardlora {

const std::vector<UnsupportedKey>& unsupported_recipe_keys() {
  static const std::vector<UnsupportedKey> keys = {
      // model
      {"model_type", {"LlamaForCausalLM", "AutoModelForCausalLM"}},
      {"tokenizer_type", {"AutoTokenizer", "LlamaTokenizer"}},
      {"tokenizer_config", {}},
      {"trust_remote_code", {"false", "true"}},  // no code comes with a model here
      {"load_in_8bit", {"false"}},
      {"special_tokens", {}},
      {"tokens", {}},
      {"peft_use_dora", {"false"}},
      {"use_dora", {"false"}},
      {"loraplus_lr_ratio", {}},
      {"lora_fan_in_fan_out", {"false"}},
      // data
      {"pad_to_sequence_len", {"false", "true"}},  // nothing is padded here, and memory is planned for the largest step
      {"dataset", {}, "name the files under datasets: - path: rows.jsonl"},
      {"dataset_dir", {}, "name the files under datasets: - path: rows.jsonl"},
      {"eval_dataset", {}, "name the files under test_datasets: - path: rows.jsonl"},
      {"mask_history", {"false"}},
      {"shuffle_merged_datasets", {"true"}},
      {"overwrite_cache", {"false", "true"}},
      {"preprocessing_num_workers", {}},
      {"dataset_processes", {}},
      {"dataloader_num_workers", {"0"}},
      // step
      {"stage", {"sft"}},
      {"rl", {}},
      {"tf32", {"false"}},
      {"pure_bf16", {"false"}},
      {"eval_batch_size", {}, "evaluation uses micro_batch_size; remove it"},
      {"per_device_eval_batch_size", {}, "evaluation uses micro_batch_size; remove it"},
      {"gradient_checkpointing_kwargs", {}},
      {"flash_attention", {"false"}},
      {"xformers_attention", {"false"}},
      {"sdp_attention", {"false"}},
      {"flash_attn", {"auto", "disabled"}},
      {"torch_compile", {"false"}},
      {"cosine_constant_lr_ratio", {}, "use lr_scheduler: warmup_stable_decay, or remove it"},
      {"lr_quadratic_warmup", {"false"}},
      {"greater_is_better", {"false"}},
      // run
      {"save_steps", {"0"}, "the adapter is written at the end; remove it"},
      {"saves_per_epoch", {"0"}, "the adapter is written at the end; remove it"},
      {"save_strategy", {"no"}, "the adapter is written at the end; remove it"},
      {"save_total_limit", {}, "the adapter is written at the end; remove it"},
      {"save_only_model", {"false", "true"}},
      {"save_first_step", {"false"}},
      {"save_safetensors", {"true"}},
      {"resume_from_checkpoint", {"false"}},
      {"auto_resume_from_checkpoints", {"false"}},
      {"overwrite_output_dir", {"false"}},
      {"eval_table_size", {"0"}},
      {"loss_watchdog_threshold", {}},
      {"loss_watchdog_patience", {}},
      {"wandb_project", {}},
      {"wandb_entity", {}},
      {"wandb_name", {}},
      {"wandb_run_id", {}},
      {"wandb_watch", {"false"}},
      {"wandb_log_model", {"false"}},
      {"wandb_mode", {"disabled"}},
      {"use_tensorboard", {"false"}},
      {"report_to", {"none"}},
      {"plot_loss", {"false"}},
      {"hub_model_id", {}},
      {"push_to_hub", {"false"}},
      {"do_train", {"true"}},
      {"strict", {"false", "true"}},
      {"debug", {"false"}},
      {"local_rank", {"-1"}},
      {"ddp_timeout", {}},
      {"deepspeed", {}},
      {"fsdp", {}, "use sharding: {strategy: full_shard}"},
      {"fsdp_config", {}, "use sharding: {strategy: full_shard}"},
      {"fsdp_version", {}, "use sharding: {strategy: full_shard}"},
      {"sharding.offload", {"false", "none"}},
      {"datasets_shuffle_seed", {}},
  };
  return keys;
}

}  // namespace shardlora
