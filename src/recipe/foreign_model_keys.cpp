// Keys of other trainers about the model and its tokenizer: data, read by foreign_keys.cpp.
#include "recipe/foreign_keys.h"

namespace shardlora {

const std::vector<ForeignKeys>& foreign_model_keys() {
  static const std::vector<ForeignKeys> rows = {
      {"cls_model_config is_*_derived_model", kAxolotl, Verdict::kHarmless, "false",
       "the class follows from config.json"},
      {"model_type type_of_model", kAxolotl, Verdict::kRefused, "*ForCausalLM",
       "text models with a language model's head are trained; remove it"},
      {"model_config overrides_of_model_config model_kwargs overrides_of_model_kwargs base_model_config", kAxolotl,
       Verdict::kRefused, "", "write what it changes into the model's config.json"},
      {"rope_scaling", kBoth, Verdict::kRefused, "", "write what it changes into the model's config.json"},
      {"revision_of_model", kAxolotl, Verdict::kRefused, "main",
       "a model is a folder here; name the one that holds this revision in base_model"},
      {"model_revision", kBoth, Verdict::kRefused, "main",
       "a model is a folder here; name the one that holds this revision in base_model"},
      {"tokenizer_config", kAxolotl, Verdict::kRefused, "", "put the tokenizer's files into the model folder"},
      {"tokenizer_type tokenizer_use_fast tokenizer_save_jinja_files", kAxolotl, Verdict::kHarmless,
       "false AutoTokenizer", "tokenizer.json decides"},
      {"use_fast_tokenizer", kFactory, Verdict::kHarmless, "false", "tokenizer.json decides"},
      {"tokenizer_legacy", kAxolotl, Verdict::kNear, "true", "tokenizer.json decides"},
      {"tokenizer_use_mistral_common", kAxolotl, Verdict::kRefused, "false",
       "the model's tokenizer.json and chat_template are used; remove it"},
      {"hf_use_auth_token", kAxolotl, Verdict::kHarmless, "false",
       "no code comes with a model here, and nothing is loaded from a hub"},
      {"hf_hub_token ms_hub_token om_hub_token cache_dir", kFactory, Verdict::kHarmless, "false",
       "no code comes with a model here, and nothing is loaded from a hub"},
      {"trust_remote_code", kBoth, Verdict::kHarmless, "false",
       "no code comes with a model here, and nothing is loaded from a hub"},
      {"experimental_skip_move_to_device device max_memory gpu_memory_limit qlora_sharded_model_loading "
       "lora_on_cpu",
       kAxolotl, Verdict::kHarmless, "false", "loading is always piece by piece, to where there is room"},
      {"offload_folder quantization_device_map model_max_length compute_dtype", kFactory, Verdict::kHarmless, "false",
       "loading is always piece by piece, to where there is room"},
      {"low_cpu_mem_usage device_map", kBoth, Verdict::kHarmless, "false",
       "loading is always piece by piece, to where there is room"},
      {"processor_type processor_kwargs image_size image_resize_algorithm role_boundaries", kAxolotl, Verdict::kRefused,
       "llm", "only text models are trained"},
      {"model_class", kFactory, Verdict::kRefused, "llm", "only text models are trained"},
      {"freeze_mm_modules", kAxolotl, Verdict::kHarmless, "false",
       "it is about images, which this version does not train on"},
      {"video_* crop_to_patches use_audio_in_video audio_sampling_rate freeze_vision_tower "
       "freeze_multi_modal_projector media_dir",
       kFactory, Verdict::kHarmless, "false", "it is about images, which this version does not train on"},
      {"image_*", kBoth, Verdict::kHarmless, "false", "it is about images, which this version does not train on"},
      {"model_quantization_config model_quantization_config_kwargs use_onebitllms gptq quantize_moe_experts", kAxolotl,
       Verdict::kRefused, "false", "take the model in 16 bit"},
      {"mixture_of_depths use_kt kt_*", kFactory, Verdict::kRefused, "false", "take the model in 16 bit"},
      {"reinit_weights unfrozen_parameters fix_untrained_tokens shrink_embeddings "
       "resize_token_embeddings_to_32x peft_layer_replication",
       kAxolotl, Verdict::kRefused, "false", "an adapter is trained on the weights as they are; remove it"},
      {"train_from_scratch resize_vocab freeze_language_model use_llama_pro", kFactory, Verdict::kRefused, "false",
       "an adapter is trained on the weights as they are; remove it"},
      {"special_tokens.pad_token special_tokens.unk_token", kAxolotl, Verdict::kHarmless, "",
       "nothing is padded, and a model's own unknown token stays"},
      {"special_tokens.bos_token special_tokens.eos_token", kAxolotl, Verdict::kRefused, "",
       "if it is the model's own, remove it; else set it in the model's tokenizer_config.json"},
      {"tokens special_tokens.additional_special_tokens added_tokens_overrides", kAxolotl, Verdict::kRefused, "",
       "if the model has these tokens, remove it; else add them to the model first"},
      {"add_tokens add_special_tokens new_special_tokens_config", kFactory, Verdict::kRefused, "",
       "if the model has these tokens, remove it; else add them to the model first"},
      {"mean_resizing_embeddings embeddings_skip_upcast", kAxolotl, Verdict::kHarmless, "false", "no token is added"},
      {"init_special_tokens", kFactory, Verdict::kHarmless, "false", "no token is added"},
      {"split_special_tokens", kFactory, Verdict::kRefused, "false",
       "text in rows that looks like a special token is one, as everywhere; remove it"},
  };
  return rows;
}

}  // namespace shardlora
