#include "recipe/recipe.h"

#include <algorithm>

#include "recipe/foreign_keys.h"
#include "recipe/recipe_adapter.h"
#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

GivenKeys read_keys(const std::string& path, const std::vector<std::string>& overrides, ConfigNotes& notes,
                    ConfigProblems& problems) {
  std::vector<GivenKeys::Name> names;
  for (const auto& field : recipe_fields()) names.push_back({field.name, field.aliases});
  GivenKeys keys(std::move(names), foreign_recipe_keys(), problems);
  keys.read_file(read_config_file(path));
  for (const std::string& text : overrides) keys.read_override(parse_override(text));
  keys.judge_foreign(notes);
  keys.exclude("global_batch_size", "gradient_accumulation_steps");
  keys.exclude("warmup_steps", "warmup_ratio");
  keys.exclude("eval_steps", "evals_per_epoch");
  keys.exclude("load_in_4bit", "quantization_bit");
  keys.exclude("datasets", "dataset");
  keys.exclude("test_datasets", "eval_dataset");
  keys.exclude("gradient_checkpointing", "disable_gradient_checkpointing");
  keys.exclude("offload.base", "layer_offloading");
  keys.exclude("offload.layer_inputs", "activation_offloading");
  let_command_line_win(keys);
  for (const std::string& note : keys.overruled()) notes.say(note);
  return keys;
}

// What every recipe has to give.
void check_given(const GivenKeys& keys, const std::string& path, ConfigProblems& problems) {
  if (keys.find("base_model") == nullptr)
    problems.add(
        "{}: base_model is missing; name a Hugging Face folder or a GGUF file, such as base_model: "
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        path);
  if (keys.find("adapter") == nullptr)
    problems.add(
        "{}: adapter is missing; write adapter: qlora (4-bit base) or adapter: lora (this version trains no full "
        "model)",
        path);
  if (keys.find("datasets") == nullptr && keys.find("dataset") == nullptr)
    problems.add(
        "{}: datasets is missing; write datasets: with \"- path: rows.jsonl\" and \"type: chat_template\" below it",
        path);
}

void check_together(const RecipeDraft& draft, const GivenKeys& keys, ConfigProblems& problems) {
  for (const char* list : {"datasets", "dataset"})
    if (const ConfigValue* value = keys.find(list); value != nullptr && draft.datasets.empty())
      problems.attempt([&] { expected(*value, "at least one dataset"); });
  if (const ConfigValue* linear = keys.find("lora_target_linear");
      linear != nullptr && !draft.lora_target_linear && draft.lora_target_modules.empty() &&
      draft.lora_target_pattern.empty() && !keys.unreadable({"lora_target_modules"}))
    problems.add("{}: lora_target_linear: false leaves nothing to train; name modules in lora_target_modules",
                 linear->node.place);
  if (const ConfigValue* batch = keys.find("global_batch_size");
      batch != nullptr && *draft.global_batch_size < draft.micro_batch_size)
    problems.add("{}: {}: {} rows are less than one micro-batch ({})", batch->node.place, batch->name,
                 *draft.global_batch_size, draft.micro_batch_size);
  if (draft.val_set_size > 0 && !draft.test_datasets.empty()) {
    const ConfigValue& split = *keys.find("val_set_size");
    const ConfigValue* tests = keys.find("test_datasets") ? keys.find("test_datasets") : keys.find("eval_dataset");
    problems.add("{}: {}: not together with test_datasets ({}); set it to 0 or remove them", split.node.place,
                 split.name, tests->node.place);
  }
  if (const ConfigValue* group = keys.find("group_by_length"); draft.group_by_length && draft.sample_packing)
    problems.add("{}: {}: not together with sample_packing, whose rows are all about as long; remove one of them",
                 group->node.place, group->name);
  if (const ConfigValue* tokens = keys.find("max_tokens_per_micro_batch");
      !keys.unreadable({"sequence_len"}) && draft.max_tokens_per_micro_batch > 0 &&
      draft.max_tokens_per_micro_batch < draft.sequence_len)
    problems.add(
        "{}: {}: a row may have sequence_len ({}) tokens, so a micro-batch needs room for as many; raise it, or lower "
        "sequence_len",
        tokens->node.place, tokens->name, draft.sequence_len);
  check_schedule(draft, keys, problems);
  check_evaluation(draft, keys, problems);
}

}  // namespace

Recipe load_recipe(const std::string& path, const std::vector<std::string>& overrides) {
  ConfigProblems problems;
  RecipeDraft draft;
  GivenKeys keys = read_keys(path, overrides, draft.said, problems);
  check_given(keys, path, problems);
  for (const auto& field : recipe_fields()) {
    const ConfigValue* value = keys.find(field.name);
    if (value == nullptr) continue;
    RecipeDraft with = draft;
    if (problems.attempt([&] { field.read(with, *value); }))
      draft = std::move(with);
    else
      keys.mark_unreadable(field.name);
  }
  for (const std::string_view key : keys_of_adapter())
    if (const ConfigValue* value = keys.find(std::string(key)))
      draft.adapter_places.emplace(key, fmt::format("{}: {}", value->node.place, value->name));
  if (keys.find("adapter") != nullptr) problems.attempt([&] { settle_format(draft, keys, path); });
  problems.attempt([&] { settle_adapter(draft, keys); });
  problems.attempt([&] { settle_dtype(draft, keys); });
  check_together(draft, keys, problems);
  problems.raise();
  for (std::vector<DatasetSource>* const list : {&draft.datasets, &draft.test_datasets})
    for (DatasetSource& source : *list)
      if (!source.rows.at_most) source.rows.at_most = draft.max_samples;
  say_other_defaults(draft, keys);
  draft.notes = draft.said.lines();
  return static_cast<Recipe&&>(draft);
}

namespace {

// Of an adapter to start from, only what was asked of it is known here.
bool answered_by_adapter(const Recipe& recipe, const std::string& key) {
  const auto keys = keys_of_adapter();
  return !recipe.lora_model_dir.empty() && !recipe.adapter_places.contains(key) &&
         std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

std::string resolved_yaml(const Recipe& recipe) {
  const RecipeDraft draft{recipe, {}, {}, {}, {}};
  std::string text, group;
  for (const auto& field : recipe_fields()) {
    const std::string value = field.write ? field.write(draft) : "";
    if (value.empty() || answered_by_adapter(recipe, field.name)) continue;
    const auto dot = field.name.find('.');
    const std::string new_group = dot == std::string::npos ? "" : field.name.substr(0, dot);
    if (!new_group.empty() && new_group != group) text += new_group + ":\n";
    group = new_group;
    const std::string key = dot == std::string::npos ? field.name : "  " + field.name.substr(dot + 1);
    text += fmt::format("{}:{}{}\n", key, value.starts_with('\n') ? "" : " ", value);
  }
  return text;
}

}  // namespace shardlora
