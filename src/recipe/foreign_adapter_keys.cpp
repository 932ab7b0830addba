// Keys of other trainers about the adapter and the base under it: data, read by foreign_keys.cpp.
#include "recipe/foreign_keys.h"

namespace shardlora {

const std::vector<ForeignKeys>& foreign_adapter_keys() {
  static const std::vector<ForeignKeys> rows = {
      {"load_in_8bit", kAxolotl, Verdict::kRefused, "false",
       "take load_in_4bit: true with adapter: qlora, or neither: the base then rests in 16 bit, closer to the "
       "original"},
      {"bnb_config_kwargs.bnb_4bit_compute_dtype bnb_config_kwargs.bnb_4bit_quant_storage "
       "bnb_config_kwargs.llm_int8_*",
       kAxolotl, Verdict::kHarmless, "", "the base is computed in the dtype of bf16 and fp16"},
      {"peft_use_dora relora lora_fan_in_fan_out", kAxolotl, Verdict::kRefused, "false",
       "plain LoRA is trained; remove it"},
      {"use_dora pissa_init use_galore use_apollo use_badam use_muon use_adam_mini", kFactory, Verdict::kRefused,
       "false", "plain LoRA is trained; remove it"},
      {"lora_target_parameters lora_exclude_modules peft", kAxolotl, Verdict::kRefused, "",
       "one adapter on the linears of the layers is trained; remove it"},
      {"peft_init_lora_weights", kAxolotl, Verdict::kRefused, "true",
       "the adapter starts as PEFT's default does; remove it"},
      {"peft_trainable_token_indices", kAxolotl, Verdict::kRefused, "",
       "lora_modules_to_save: [embed_tokens] trains all of the rows"},
      {"embedding_lr embedding_lr_scale lr_groups", kAxolotl, Verdict::kRefused, "",
       "one learning rate serves all of the adapter; remove it"},
      {"loraplus_lr_ratio", kBoth, Verdict::kRefused, "", "one learning rate serves all of the adapter; remove it"},
      {"relora_prune_ratio relora_prune_method relora_cpu_offload", kAxolotl, Verdict::kHarmless, "false",
       "it has no effect while what it belongs to is off"},
      {"pissa_iter pissa_convert freeze_trainable_layers freeze_trainable_modules freeze_extra_modules "
       "oft_rank oft_block_size oft_target module_dropout galore_* apollo_* badam_*",
       kFactory, Verdict::kHarmless, "false", "it has no effect while what it belongs to is off"},
      {"loraplus_lr_embedding", kBoth, Verdict::kHarmless, "false", "it has no effect while what it belongs to is off"},
      {"peft_ensure_weight_tying", kAxolotl, Verdict::kHarmless, "false", "tied embeddings stay tied"},
      {"peft_autocast_adapter_dtype", kAxolotl, Verdict::kNear, "true", "the adapter stays in f32"},
      {"pure_bf16", kFactory, Verdict::kNear, "false", "the adapter stays in f32, the base is computed in bf16"},
      {"merge_lora merge_method", kAxolotl, Verdict::kHarmless, "false", "merging and exporting come after training"},
      {"export_*", kFactory, Verdict::kHarmless, "false", "merging and exporting come after training"},
      {"create_new_adapter", kFactory, Verdict::kRefused, "false",
       "merge the first adapter into the base, then name the merged folder"},
      {"adapter_folder", kFactory, Verdict::kRefused, "", "give the adapter's own folder as lora_model_dir"},
      {"peft_config", kFactory, Verdict::kRefused, "",
       "write its keys at the top: adapter: lora, lora_r, lora_alpha, lora_target_modules"},
      {"quant_config", kFactory, Verdict::kRefused, "", "write load_in_4bit: true at the top"},
      {"qat", kAxolotl, Verdict::kRefused, "", "quantising the result is not part of training; remove it"},
  };
  return rows;
}

}  // namespace shardlora
