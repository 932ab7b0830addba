// Keys that say something about the same, under different names: what the command line says wins over the file.
#include <algorithm>
#include <array>
#include <initializer_list>

#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

bool says(const GivenKeys& keys, const char* key, std::initializer_list<std::string_view> words) {
  const ConfigValue* value = keys.find(key);
  return value != nullptr && value->node.kind == ConfigNode::Kind::kScalar &&
         std::find(words.begin(), words.end(), value->node.text) != words.end();
}

bool is(bool wanted, const GivenKeys& keys, const char* key) {
  const ConfigValue* value = keys.find(key);
  return value != nullptr && value->node.kind == ConfigNode::Kind::kScalar && bool_of(value->node.text) == wanted;
}
bool is_yes(const GivenKeys& keys, const char* key) { return is(true, keys, key); }

}  // namespace

// A no leaves the others alone.
void let_command_line_win(GivenKeys& keys) {
  keys.overrule("num_epochs", "max_steps");
  keys.overrule("lora_target_modules", "lora_target_linear");
  if (is_yes(keys, "lora_target_linear")) keys.overrule("lora_target_linear", "lora_target_modules");
  for (const char* four_bit : {"load_in_4bit", "quantization_bit"}) {
    keys.overrule("quantization.format", four_bit);
    keys.overrule(four_bit, "quantization.format");
    if (says(keys, "adapter", {"qlora"}) && is(false, keys, four_bit)) keys.overrule("adapter", four_bit);
  }
  if (says(keys, "adapter", {"qlora"}) && says(keys, "quantization.format", {"none"}))
    keys.overrule("adapter", "quantization.format");
  if (is_yes(keys, "bf16")) keys.overrule("bf16", "fp16");
  if (is_yes(keys, "fp16")) keys.overrule("fp16", "bf16");
  constexpr std::array kPacking{"sample_packing", "packing", "neat_packing"};
  for (const char* packing : kPacking) {
    if (is_yes(keys, packing)) keys.overrule(packing, "group_by_length");
    if (is_yes(keys, "group_by_length")) keys.overrule("group_by_length", packing);
    for (const char* other : kPacking) keys.overrule(packing, other);  // of itself there is but one
  }
  for (const char* often : {"eval_steps", "evals_per_epoch"}) {
    if (says(keys, "eval_strategy", {"steps"})) continue;
    keys.overrule("eval_strategy", often);
    keys.overrule(often, "eval_strategy");
  }
  if (says(keys, "lr_scheduler", {"constant"}))
    for (const char* warmup : {"warmup_steps", "warmup_ratio"}) keys.overrule("lr_scheduler", warmup);
  if (!says(keys, "lr_scheduler", {"cosine"})) keys.overrule("lr_scheduler", "cosine_min_lr_ratio");
  for (const char* tests : {"test_datasets", "eval_dataset"}) {
    keys.overrule(tests, "val_set_size");
    if (!says(keys, "val_set_size", {"0", "0.0"})) keys.overrule("val_set_size", tests);
  }
}

}  // namespace shardlora
