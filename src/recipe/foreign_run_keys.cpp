// Keys of other trainers about the run: ranks, saving, evaluation, logs: data, read by foreign_keys.cpp.
#include "recipe/foreign_keys.h"

namespace shardlora {

const std::vector<ForeignKeys>& foreign_run_keys() {
  static const std::vector<ForeignKeys> rows = {
      {"fsdp_version fsdp_final_state_dict_type dp_shard_size dp_replicate_size ddp world_size "
       "heads_k_stride ring_attn_func use_ray resources_per_worker",
       kAxolotl, Verdict::kHarmless, "false -1",
       "sharding is built in; launch/shardrun or mpirun say how many ranks there are"},
      {"dist_config init_config dp_size mp_replicate_size mp_shard_size dist_timeout cp_mode "
       "megatron_bridge_args hyper_parallel_args hyper_parallel_cp_size",
       kFactory, Verdict::kHarmless, "false -1",
       "sharding is built in; launch/shardrun or mpirun say how many ranks there are"},
      {"deepspeed fsdp fsdp_config ddp_* local_rank ray_*", kBoth, Verdict::kHarmless, "false -1",
       "sharding is built in; launch/shardrun or mpirun say how many ranks there are"},
      {"parallelism_config master_addr master_port", kHuggingFace, Verdict::kHarmless, "false -1",
       "sharding is built in; launch/shardrun or mpirun say how many ranks there are"},
      {"use_mca use_megatron_bridge use_hyper_parallel", kFactory, Verdict::kNear, "false",
       "sharding is built in, and no other engine is used"},
      {"sequence_parallel_degree context_parallel_size tensor_parallel_size", kAxolotl, Verdict::kNear, "1",
       "a row is not split over ranks; global_batch_size sets the rows of a step"},
      {"cp_size", kFactory, Verdict::kNear, "1",
       "a row is not split over ranks; global_batch_size sets the rows of a step"},
      {"saves_per_epoch", kAxolotl, Verdict::kNear, "0 no false", "the adapter is written once, at the end"},
      {"save_epochs", kFactory, Verdict::kNear, "0 no false", "the adapter is written once, at the end"},
      {"save_steps save_strategy", kBoth, Verdict::kNear, "0 no false", "the adapter is written once, at the end"},
      {"save_first_step", kAxolotl, Verdict::kHarmless, "false", "the adapter is written once, at the end"},
      {"save_ckpt_as_hf", kFactory, Verdict::kHarmless, "false", "the adapter is written once, at the end"},
      {"save_total_limit save_only_model", kBoth, Verdict::kHarmless, "false",
       "the adapter is written once, at the end"},
      {"save_on_each_node enable_jit_checkpoint overwrite_output_dir ignore_data_skip "
       "restore_callback_states_from_checkpoint",
       kHuggingFace, Verdict::kHarmless, "false", "the adapter is written once, at the end"},
      {"dynamic_checkpoint", kAxolotl, Verdict::kNear, "false",
       "there are no checkpoints during a run; the adapter is written once, at the end"},
      {"save_safetensors", kBoth, Verdict::kNear, "true", "the adapter is written as safetensors"},
      {"resume_from_checkpoint", kBoth, Verdict::kRefused, "false",
       "a run starts anew; go on with an adapter by lora_model_dir"},
      {"auto_resume_from_checkpoints", kAxolotl, Verdict::kNear, "false", "a run starts anew"},
      {"greater_is_better", kBoth, Verdict::kRefused, "false",
       "the best model is the one of the lowest loss; remove it"},
      {"do_causal_lm_eval do_bench_eval lm_eval_*", kAxolotl, Verdict::kNear, "false", "only the loss is measured"},
      {"compute_accuracy", kFactory, Verdict::kNear, "false", "only the loss is measured"},
      {"do_predict predict_with_generate", kHuggingFace, Verdict::kNear, "false", "only the loss is measured"},
      {"eval_delay", kHuggingFace, Verdict::kNear, "0", "evaluation begins with the first one due"},
      {"eval_causal_lm_metrics bench_dataset bench_split", kAxolotl, Verdict::kHarmless, "false",
       "evaluation follows eval_steps, evals_per_epoch or eval_strategy; held-out rows are always measured at the end"},
      {"do_eval eval_on_start sortish_sampler prediction_loss_only generation_config include_for_metrics "
       "batch_eval_metrics",
       kHuggingFace, Verdict::kHarmless, "false",
       "evaluation follows eval_steps, evals_per_epoch or eval_strategy; held-out rows are always measured at the end"},
      {"eval_table_size eval_max_new_tokens generate_samples num_generation_samples gradio_*", kAxolotl,
       Verdict::kHarmless, "0 false", "no texts are generated during training; generate and chat do that"},
      {"eval_num_beams max_new_tokens sample_backend infer_* vllm_* sglang_*", kFactory, Verdict::kHarmless, "0 false",
       "no texts are generated during training; generate and chat do that"},
      {"generation_*", kBoth, Verdict::kHarmless, "0 false",
       "no texts are generated during training; generate and chat do that"},
      {"do_sample temperature top_p top_k num_beams repetition_penalty length_penalty skip_special_tokens",
       kHuggingFace, Verdict::kHarmless, "0 false",
       "no texts are generated during training; generate and chat do that"},
      {"use_wandb wandb_* use_mlflow mlflow_* hf_mlflow_log_artifacts use_comet comet_* use_trackio "
       "use_otel_metrics otel_metrics_*",
       kAxolotl, Verdict::kNear, "false disabled none offline",
       "nothing is sent anywhere; the numbers are in metrics.jsonl in output_dir"},
      {"use_swanlab swanlab_*", kFactory, Verdict::kNear, "false disabled none offline",
       "nothing is sent anywhere; the numbers are in metrics.jsonl in output_dir"},
      {"trackio_*", kBoth, Verdict::kNear, "false disabled none offline",
       "nothing is sent anywhere; the numbers are in metrics.jsonl in output_dir"},
      {"report_to", kHuggingFace, Verdict::kNear, "false disabled none offline",
       "nothing is sent anywhere; the numbers are in metrics.jsonl in output_dir"},
      {"use_tensorboard include_tokens_per_second include_tkps", kAxolotl, Verdict::kHarmless, "false",
       "the numbers are in metrics.jsonl in output_dir"},
      {"plot_loss include_effective_tokens_per_second print_param_status", kFactory, Verdict::kHarmless, "false",
       "the numbers are in metrics.jsonl in output_dir"},
      {"profiler_* debug", kBoth, Verdict::kHarmless, "false", "the numbers are in metrics.jsonl in output_dir"},
      {"logging_strategy logging_first_step logging_dir log_level log_level_replica log_on_each_node "
       "logging_nan_inf_filter disable_tqdm run_name project include_num_input_tokens_seen "
       "skip_memory_metrics profile_modules enable_torch_profiler",
       kHuggingFace, Verdict::kHarmless, "false", "the numbers are in metrics.jsonl in output_dir"},
      {"loss_watchdog_threshold loss_watchdog_patience", kAxolotl, Verdict::kHarmless, "",
       "a high loss does not stop a run"},
      {"full_determinism", kFactory, Verdict::kHarmless, "false true", "runs of the same recipe give the same bits"},
      {"strict", kAxolotl, Verdict::kHarmless, "false true", "unknown keys are always refused"},
      {"do_train", kHuggingFace, Verdict::kRefused, "true", "this is a recipe for something else than training"},
      {"trainer_cls spectrum_* grokfast_* kd_*", kAxolotl, Verdict::kRefused, "",
       "training is the built-in one; remove it"},
      {"plugins", kAxolotl, Verdict::kRefused,
       "axolotl.integrations.liger.LigerPlugin axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin "
       "axolotl.integrations.lm_eval.LMEvalPlugin axolotl.integrations.swanlab.SwanLabPlugin "
       "axolotl.integrations.kernels.KernelsPlugin",
       "no other plugin is understood; remove those that change training"},
  };
  return rows;
}

}  // namespace shardlora
