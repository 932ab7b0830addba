// The table of adapter_config.json's keys against those of PEFT itself (scripts/goldens/adapter_keys.py).
#include "checkpoint/adapter_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "checkpoint/error_of.h"

namespace shardlora {
namespace {

using json = nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;

const json& golden() {
  static const json file = json::parse(read_text(TEST_DATA "/checkpoint/lora-config.json", 1 << 20));
  return file;
}

std::string error_of_keys(const json& config) {
  return error_of([&] { check_adapter_keys(config, "adapter_config.json"); });
}

std::string error_with(const std::string& key, const json& value) {
  json config = golden()["default"];
  config[key] = value;
  return error_of_keys(config);
}

TEST(AdapterKeys, AreThoseThatPeftWrites) {
  std::vector<std::string> ours, theirs;
  for (const AdapterKey& key : adapter_keys()) ours.emplace_back(key.name);
  for (const auto& [key, value] : golden()["default"].items()) theirs.push_back(key);
  EXPECT_THAT(ours, testing::UnorderedElementsAreArray(theirs));
}

TEST(AdapterKeys, PassAsPeftWritesThemByDefault) { EXPECT_EQ(error_of_keys(golden()["default"]), ""); }

TEST(AdapterKeys, ThatChangeTheMathsAreRefusedByNameUnlessTheyAreRead) {
  // Said once more, so that no key changes sides unseen: those that are read, and those that change no maths.
  const std::set<std::string> pass = {"alpha_pattern",
                                      "auto_mapping",
                                      "base_model_name_or_path",
                                      "corda_config",
                                      "ensure_weight_tying",
                                      "eva_config",
                                      "inference_mode",
                                      "init_lora_weights",
                                      "layers_pattern",
                                      "layers_to_transform",
                                      "loftq_config",
                                      "lora_alpha",
                                      "lora_dropout",
                                      "lora_ga_config",
                                      "megatron_config",
                                      "megatron_core",
                                      "modules_to_save",
                                      "peft_version",
                                      "qalora_group_size",
                                      "r",
                                      "rank_pattern",
                                      "revision",
                                      "target_modules",
                                      "task_type",
                                      "use_rslora"};
  const json& on = golden()["on"];
  for (const auto& [key, plain] : golden()["default"].items()) {
    const json value = on.value(key, key == "init_lora_weights" ? json(false) : json("set"));
    if (pass.contains(key))
      EXPECT_EQ(error_with(key, value), "");
    else
      EXPECT_THAT(error_with(key, value), HasSubstr(fmt::format("adapter_config.json: {} is {}", key, value.dump())));
  }
  EXPECT_THAT(error_with("exclude_modules", {"o_proj"}), HasSubstr("exclude_modules is [\"o_proj\"]"));
  EXPECT_THAT(error_with("trainable_token_indices", {1, 2}), HasSubstr("trained tokens"));
  EXPECT_THAT(error_with("bias", "lora_only"), HasSubstr("bias is \"lora_only\""));
  EXPECT_THAT(error_with("peft_type", "IA3"), HasSubstr("peft_type is \"IA3\""));
}

TEST(AdapterKeys, ThatChangeNoMathsMayHaveAnyValue) {
  EXPECT_EQ(error_with("peft_version", "0.99.0"), "");
  EXPECT_EQ(error_with("qalora_group_size", 32), "");
  EXPECT_EQ(error_with("auto_mapping", {{"base_model_class", "LlamaForCausalLM"}}), "");
}

TEST(AdapterKeys, ThatNobodyKnowsPassOnlyWhereTheyAreOff) {
  for (const json& off : {json(), json(false), json::array(), json::object(), json("")})
    EXPECT_EQ(error_with("use_newlora", off), "") << off;
  EXPECT_THAT(error_with("use_newlora", true), AllOf(HasSubstr("use_newlora is true"), HasSubstr("not known here")));
  EXPECT_THAT(error_with("newlora_scale", 0.0), HasSubstr("newlora_scale is 0.0"));
}

TEST(AdapterKeys, AdaptersThatBelongToAChangedBaseAreRefused) {
  json starts = golden()["init_lora_weights"];
  starts["lora_ga"] = true;  // PEFT changes the base in training and not again when it loads
  for (const auto& [start, changes_base] : starts.items()) {
    const json value = start == "true" || start == "false" ? json(start == "true") : json(start);
    if (changes_base)
      EXPECT_THAT(error_with("init_lora_weights", value),
                  AllOf(HasSubstr(fmt::format("init_lora_weights is \"{}\"", start)),
                        HasSubstr("path_initial_model_for_weight_conversion")));
    else
      EXPECT_EQ(error_with("init_lora_weights", value), "") << start;
  }
  EXPECT_THAT(error_with("init_lora_weights", "OLoRA"), HasSubstr("path_initial_model_for_weight_conversion"));
  EXPECT_THAT(error_with("init_lora_weights", "magic"), HasSubstr("init_lora_weights is \"magic\", which"));
}

}  // namespace
}  // namespace shardlora
