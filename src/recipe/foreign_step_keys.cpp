// Keys of other trainers about the step: optimizer, loss, numbers, memory, speed: data, read by foreign_keys.cpp.
#include "recipe/foreign_keys.h"

namespace shardlora {

const std::vector<ForeignKeys>& foreign_step_keys() {
  static const std::vector<ForeignKeys> rows = {
      {"stage", kFactory, Verdict::kRefused, "sft",
       "supervised fine-tuning is all that is trained; stage: pt is type: completion of a data set"},
      {"rl trl vllm ebft reward_model process_reward_model center_rewards_coefficient num_labels orpo_alpha "
       "cpo_alpha kto_desirable_weight kto_undesirable_weight rl_beta rpo_alpha precompute_ref_log_probs",
       kAxolotl, Verdict::kRefused, "false", "supervised fine-tuning is all that is trained; remove it"},
      {"simpo_gamma dpo_*", kBoth, Verdict::kRefused, "false",
       "supervised fine-tuning is all that is trained; remove it"},
      {"pref_* ppo_* ref_model* reward_model_* ld_alpha", kFactory, Verdict::kHarmless, "false",
       "it has no effect in supervised fine-tuning"},
      {"auto_find_batch_size", kBoth, Verdict::kNear, "false",
       "memory is planned before the run; lower micro_batch_size if it does not fit"},
      {"eval_batch_size", kAxolotl, Verdict::kHarmless, "", "evaluation uses micro_batch_size; the loss is the same"},
      {"per_device_eval_batch_size eval_accumulation_steps eval_do_concat_batches eval_use_gather_object", kHuggingFace,
       Verdict::kHarmless, "", "evaluation uses micro_batch_size; the loss is the same"},
      {"optim_args", kBoth, Verdict::kRefused, "",
       "betas and epsilon are adam_beta1, adam_beta2 and adam_epsilon; remove it"},
      {"torchdistx_path adam_beta3 adam_epsilon2 lr_div_factor dion_* qgalore_*", kAxolotl, Verdict::kHarmless, "",
       "AdamW does not use it"},
      {"optim_target_modules", kBoth, Verdict::kHarmless, "", "AdamW does not use it"},
      {"optim_config lr_scheduler_config", kFactory, Verdict::kRefused, "",
       "write optimizer: and lr_scheduler: at the top"},
      {"lr_quadratic_warmup", kAxolotl, Verdict::kRefused, "false",
       "use lr_scheduler: cosine with warmup_ratio, or remove it"},
      {"cosine_constant_lr_ratio jagged_restart_steps jagged_restart_warmup_steps "
       "jagged_restart_anneal_steps",
       kAxolotl, Verdict::kRefused, "", "use lr_scheduler: warmup_stable_decay, or remove it"},
      {"lisa_n_layers lisa_step_interval lisa_layers_attribute", kAxolotl, Verdict::kRefused, "",
       "all layers train; remove it"},
      {"use_eaft liger_use_token_scaling", kAxolotl, Verdict::kRefused, "false",
       "the loss is plain cross-entropy; remove it"},
      {"use_eaft_loss use_dft_loss use_asft_loss", kFactory, Verdict::kRefused, "false",
       "the loss is plain cross-entropy; remove it"},
      {"label_smoothing_factor", kHuggingFace, Verdict::kRefused, "0 0.0",
       "the loss is plain cross-entropy; remove it"},
      {"eaft_k", kAxolotl, Verdict::kHarmless, "false", "it has no effect while the loss is plain cross-entropy"},
      {"asft_alpha", kFactory, Verdict::kHarmless, "false", "it has no effect while the loss is plain cross-entropy"},
      {"eaft_alpha", kBoth, Verdict::kHarmless, "false", "it has no effect while the loss is plain cross-entropy"},
      {"chunked_cross_entropy chunked_cross_entropy_num_chunks flash_attn_cross_entropy cut_cross_entropy", kAxolotl,
       Verdict::kHarmless, "false", "the loss is the same however it is cut"},
      {"average_tokens_across_devices", kHuggingFace, Verdict::kNear, "true",
       "the loss is the mean over all trained tokens of a step"},
      {"fp8 fp8_enable_fsdp_float8_all_gather", kBoth, Verdict::kRefused, "false",
       "training computes in bf16, f16 or f32"},
      {"float32 fp32_norms fp32_norm_classes", kAxolotl, Verdict::kHarmless, "",
       "training computes in bf16, f16 or f32"},
      {"upcast_layernorm upcast_lmhead_output", kFactory, Verdict::kHarmless, "",
       "training computes in bf16, f16 or f32"},
      {"tf32", kBoth, Verdict::kHarmless, "false", "training computes in bf16, f16 or f32"},
      {"fp8_backend bf16_full_eval fp16_full_eval", kHuggingFace, Verdict::kHarmless, "",
       "training computes in bf16, f16 or f32"},
      {"s2_attention scaling_softmax use_pose", kAxolotl, Verdict::kRefused, "false",
       "attention is the model's own; remove it"},
      {"shift_attn", kFactory, Verdict::kRefused, "false", "attention is the model's own; remove it"},
      {"scaling_softmax_factor scaling_softmax_bias pose_split_on_token_ids pose_max_context_len "
       "pose_num_chunks",
       kAxolotl, Verdict::kHarmless, "false", "it has no effect while what it belongs to is off"},
      {"max_packed_sequence_len", kAxolotl, Verdict::kRefused, "", "use sample_packing: true and sequence_len"},
      {"attn_implementation flash_attention sdp_attention xformers_attention flex_attention eager_attention "
       "sage_attention flex_attn_compile_kwargs flash_attn_fuse_mlp flash_optimum flash_attn_rms_norm "
       "flash_attn_d512 large_head_attention sdpa_varlen fused_attn_kernel gemma4_hybrid_attn_impl",
       kAxolotl, Verdict::kHarmless, "false auto disabled", "attention is exact and fast by itself"},
      {"flash_attn use_kv_cache", kFactory, Verdict::kHarmless, "false auto disabled",
       "attention is exact and fast by itself"},
      {"use_cache", kHuggingFace, Verdict::kHarmless, "false auto disabled", "attention is exact and fast by itself"},
      {"lora_mlp_kernel lora_qkv_kernel lora_o_kernel lora_embedding_kernel use_kernels deepcompile "
       "tiled_mlp tiled_mlp_num_shards tiled_mlp_use_original_mlp experts_implementation "
       "llama4_linearized_experts use_scattermoe use_sonicmoe",
       kAxolotl, Verdict::kHarmless, "false", "kernels change speed, not the result"},
      {"use_v1_kernels kernel_config use_unsloth use_unsloth_gc enable_liger_kernel moe_aux_loss_coef", kFactory,
       Verdict::kHarmless, "false", "kernels change speed, not the result"},
      {"liger_* torch_compile*", kBoth, Verdict::kHarmless, "false", "kernels change speed, not the result"},
      {"use_liger_kernel liger_kernel_config", kHuggingFace, Verdict::kHarmless, "false",
       "kernels change speed, not the result"},
      {"selective_checkpointing gc_steps gc_collect_steps", kAxolotl, Verdict::kHarmless, "false",
       "memory is shared out by itself; memory.*, offload.*, sharding.strategy and gradient_checkpointing decide by "
       "hand"},
      {"use_reentrant_gc enable_activation_checkpointing", kFactory, Verdict::kHarmless, "false",
       "memory is shared out by itself; memory.*, offload.*, sharding.strategy and gradient_checkpointing decide by "
       "hand"},
      {"gradient_checkpointing_kwargs torch_empty_cache_steps", kBoth, Verdict::kHarmless, "false",
       "memory is shared out by itself; memory.*, offload.*, sharding.strategy and gradient_checkpointing decide by "
       "hand"},
  };
  return rows;
}

}  // namespace shardlora
