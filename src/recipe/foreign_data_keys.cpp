// Keys of other trainers about the rows: data, read by foreign_keys.cpp.
#include "recipe/foreign_keys.h"

namespace shardlora {

const std::vector<ForeignKeys>& foreign_data_keys() {
  static const std::vector<ForeignKeys> rows = {
      {"pretraining_dataset", kAxolotl, Verdict::kRefused, "",
       "write datasets: with \"- path: rows.jsonl\", type: completion and field: text below it"},
      {"train_dataset", kFactory, Verdict::kRefused, "", "name the files under datasets: - path: rows.jsonl"},
      {"dataset_dir", kFactory, Verdict::kNear, "",
       "files are named by their paths, so a folder of data sets is not looked into"},
      {"eval_sequence_len", kAxolotl, Verdict::kRefused, "",
       "one length holds for both; remove it if it is sequence_len"},
      {"min_sample_len", kAxolotl, Verdict::kRefused, "0 1 2",
       "rows are kept however short; remove them from the file"},
      {"chat_template_kwargs", kAxolotl, Verdict::kRefused, "",
       "what a template is told cannot be set; put the template with these values into chat_template_jinja"},
      {"enable_thinking", kFactory, Verdict::kRefused, "true",
       "the template's own way with thoughts is used; change the template with chat_template_jinja"},
      {"preserve_thinking", kFactory, Verdict::kRefused, "false",
       "the template's own way with thoughts is used; change the template with chat_template_jinja"},
      {"eot_tokens", kAxolotl, Verdict::kNear, "",
       "the ends of turns are found from the template and train with train_on_eos; preview shows them"},
      {"default_system_message", kAxolotl, Verdict::kRefused, "", "put system messages into the rows"},
      {"default_system", kFactory, Verdict::kRefused, "", "put system messages into the rows"},
      {"tool_format", kFactory, Verdict::kRefused, "", "the template writes calls; remove it"},
      {"mask_history", kFactory, Verdict::kRefused, "false",
       "every answer of a row trains; to train the last alone, give the messages \"train\": false"},
      {"shuffle_merged_datasets", kAxolotl, Verdict::kRefused, "true",
       "rows come in an order drawn from seed; remove it"},
      {"curriculum_sampling", kAxolotl, Verdict::kRefused, "false", "rows come in an order drawn from seed; remove it"},
      {"disable_shuffling", kFactory, Verdict::kRefused, "false", "rows come in an order drawn from seed; remove it"},
      {"shuffle_before_merging_datasets", kAxolotl, Verdict::kHarmless, "false",
       "the order of rows is drawn from seed"},
      {"datasets_shuffle_seed", kAxolotl, Verdict::kNear, "", "the order of rows is drawn from seed"},
      {"data_seed", kHuggingFace, Verdict::kNear, "", "the order of rows is drawn from seed"},
      {"dataset_shard_num dataset_shard_idx", kAxolotl, Verdict::kRefused, "", "cut the file instead"},
      {"skip_prepare_dataset", kAxolotl, Verdict::kRefused, "false",
       "rows are always prepared before training; remove it"},
      {"dataset_processes dataset_num_proc dataset_keep_in_memory num_dataset_shards_to_save "
       "streaming_multipack_buffer_size pretrain_multipack_buffer_size pretrain_multipack_attn "
       "pretraining_sample_concatenation preprocess_iterable is_preprocess total_num_tokens "
       "total_supervised_tokens axolotl_config_path max_prompt_len",
       kAxolotl, Verdict::kHarmless, "false", "files are read in as many threads as there are processors"},
      {"preprocessing_num_workers preprocessing_batch_size overwrite_cache data_shared_file_system "
       "batching_workers buffer_size",
       kFactory, Verdict::kHarmless, "false", "files are read in as many threads as there are processors"},
      {"dataloader_num_workers dataloader_pin_memory dataloader_prefetch_factor remove_unused_columns "
       "accelerator_config",
       kBoth, Verdict::kHarmless, "false", "files are read in as many threads as there are processors"},
      {"dataloader_persistent_workers label_names length_column_name", kHuggingFace, Verdict::kHarmless, "false",
       "files are read in as many threads as there are processors"},
      {"streaming", kBoth, Verdict::kNear, "false", "files are read whole; the rows are the same"},
      {"dataloader_drop_last", kBoth, Verdict::kNear, "false", "an epoch's last step is done, with fewer rows"},
      {"mix_strategy", kFactory, Verdict::kRefused, "concat",
       "rows of all data sets are mixed; repeat a path to give it more weight"},
      {"interleave_probs", kFactory, Verdict::kRefused, "",
       "rows of all data sets are mixed; repeat a path to give it more weight"},
      {"ignore_pad_token_for_loss", kFactory, Verdict::kRefused, "true", "padding never trains; remove it"},
      {"tokenized_path", kFactory, Verdict::kNear, "",
       "name a folder for prepared rows with dataset_prepared_path; this one is not used"},
      {"push_dataset_to_hub", kAxolotl, Verdict::kNear, "false", "nothing is uploaded"},
      {"hub_*", kBoth, Verdict::kNear, "false", "nothing is uploaded"},
      {"push_to_hub", kHuggingFace, Verdict::kNear, "false", "nothing is uploaded"},
      {"eval_on_each_dataset", kFactory, Verdict::kNear, "false", "one loss over all held-out rows is measured"},
      {"sample_packing_group_size sample_packing_bin_size sample_packing_mp_start_method "
       "sample_packing_eff_est pad_to_sequence_len pad_to_multiple_of multipack_real_batches "
       "batch_flattening",
       kAxolotl, Verdict::kHarmless, "false", "packing has its own way to fill rows; samples never see each other"},
      {"block_diag_attn", kFactory, Verdict::kHarmless, "false",
       "packing has its own way to fill rows; samples never see each other"},
      {"sample_packing_sequentially", kAxolotl, Verdict::kNear, "false", "rows are packed in the drawn order"},
      {"batching_strategy", kFactory, Verdict::kNear, "normal",
       "micro_batch_size rows are a micro-batch; max_tokens_per_micro_batch: 8192 fills it by tokens"},
  };
  return rows;
}

const std::vector<ForeignKeys>& foreign_keys_of_a_dataset() {
  static const std::vector<ForeignKeys> rows = {
      {"name", kAxolotl, Verdict::kRefused, "default", "name the files with path and data_files"},
      {"revision trust_remote_code preprocess_shards", kAxolotl, Verdict::kHarmless, "false", "files are local"},
      {"message_field_training", kAxolotl, Verdict::kRefused, "train",
       "messages say \"train\": true or false; rename the key"},
      {"message_field_training_detail", kAxolotl, Verdict::kRefused, "", "whole messages train; remove it"},
      {"field_thinking template_thinking_key", kAxolotl, Verdict::kRefused, "reasoning_content",
       "thoughts are read as reasoning_content; rename the key in the rows"},
      {"split_thinking", kAxolotl, Verdict::kRefused, "false", "put the thoughts into reasoning_content in the rows"},
      {"train_on_eot", kAxolotl, Verdict::kRefused, "",
       "train_on_eos decides for the end of a turn, whatever its token; write that"},
      {"drop_system_message", kAxolotl, Verdict::kRefused, "false", "remove the system messages from the rows"},
      {"chat_template chat_template_jinja", kAxolotl, Verdict::kRefused, "",
       "one template serves a run; write it at the top of the recipe"},
      {"shards shards_idx", kAxolotl, Verdict::kRefused, "", "cut the file instead"},
      {"input_transform conversation input_format field_human field_model", kAxolotl, Verdict::kRefused, "",
       "say where the row keeps what with field_messages, roles and message_property_mappings"},
      {"logprobs_field temperature length sequence_length min_input_id max_input_id seed", kAxolotl, Verdict::kRefused,
       "", "rows come from files and train with plain cross-entropy; remove it"},
  };
  return rows;
}

}  // namespace shardlora
