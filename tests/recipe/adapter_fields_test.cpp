// What a recipe says about the modules of an adapter, in the words of PEFT, axolotl and LLaMA-Factory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recipe/recipe_adapter.h"
#include "recipe/recipe_text.h"

namespace shardlora {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

const std::string kBefore =
    "base_model: model.gguf\nadapter: lora\ndatasets:\n  - path: rows.jsonl\n    type: chat_template\n";

Recipe load(const std::string& lines, const std::vector<std::string>& overrides = {}) {
  return load_text(kBefore + lines, overrides);
}
std::string error_of(const std::string& lines, const std::vector<std::string>& overrides = {}) {
  return error_of_text(kBefore + lines, overrides);
}

// The adapter of the recipe that `resolved_yaml` writes of the one that says `lines`.
LoraConfig lora_of(const std::string& lines, const std::vector<std::string>& overrides = {}) {
  return lora_config(load_text(resolved_yaml(load(lines, overrides))));
}

TEST(AdapterFields, ATextWithCommasIsAListOfNames) {
  for (const char* line : {"lora_target: q_proj,v_proj", "lora_target: ' q_proj , v_proj'",
                           "lora_target_modules: q_proj, v_proj", "lora_target_modules: [q_proj, v_proj]"})
    EXPECT_THAT(lora_of(line).target_modules, ElementsAre("q_proj", "v_proj")) << line;
  EXPECT_THAT(lora_of("lora_target_modules: q_proj").target_modules, ElementsAre("q_proj"));
  // The ends of names may hold dots; LLaMA-Factory has no expressions.
  EXPECT_THAT(lora_of("lora_target_modules: mlp.down_proj").target_modules, ElementsAre("mlp.down_proj"));
  EXPECT_THAT(load("lora_target: .*q_proj,v_proj").lora_target_modules, ElementsAre(".*q_proj", "v_proj"));
  EXPECT_EQ(lora_of("lora_target: all").target_modules.size(), 7U);
  EXPECT_EQ(lora_of("lora_target_modules: all-linear").target_modules.size(), 7U);
}

TEST(AdapterFields, OneTextThatIsNoNameIsARegularExpression) {
  for (const std::string regex : {R"(model\.layers\.\d{1,2}\..*(q|v)_proj)", ".*proj"}) {
    const LoraConfig lora = lora_of("lora_target_modules: '" + regex + "'");
    EXPECT_EQ(lora.target_pattern, regex);
    EXPECT_THAT(lora.target_modules, IsEmpty());
  }
  EXPECT_THAT(error_of("lora_target_modules: .*(q_proj"), HasSubstr("r.yaml:6: lora_target_modules: \".*(q_proj\""));
  EXPECT_THAT(error_of("lora_target_modules: ['.*q_proj']"), HasSubstr("write it alone, without a list"));
}

TEST(AdapterFields, TheCommandLineWinsOverTheFilesAllLinears) {
  EXPECT_THAT(lora_of("lora_target_linear: true", {"lora_target_modules=[q_proj]"}).target_modules,
              ElementsAre("q_proj"));
  EXPECT_EQ(lora_of("lora_target_modules: [q_proj]\nlora_target_linear: true").target_modules.size(), 7U);
  EXPECT_THAT(error_of("lora_target_modules: [lm_head]\nlora_target_linear: true"),
              HasSubstr("\"lm_head\" is no linear"));
  EXPECT_THAT(error_of("lora_target: all,lm_head"), HasSubstr("\"lm_head\" is no linear"));
  EXPECT_THAT(error_of("lora_target_modules: '.*q_proj'\nlora_target_linear: true"), HasSubstr("keep one of them"));
}

TEST(AdapterFields, PatternsAndLayersMayHaveTheNamesOfPeftAndAxolotl) {
  for (const std::string prefix : {"lora_", ""}) {
    const LoraConfig lora = lora_of(prefix + "rank_pattern: {q_proj: 4, '.*\\.mlp\\..*': 2}\n" + prefix +
                                    "alpha_pattern:\n  v_proj: 0.5\n" + prefix + "layers_to_transform: [0, 3]\n" +
                                    prefix + "layers_pattern: layers");
    EXPECT_THAT(lora.rank_pattern, ElementsAre(Pair("q_proj", 4), Pair(R"(.*\.mlp\..*)", 2)));
    EXPECT_THAT(lora.alpha_pattern, ElementsAre(Pair("v_proj", 0.5)));
    EXPECT_THAT(lora.layers_to_transform, ElementsAre(0, 3));
    EXPECT_THAT(lora.layers_pattern, ElementsAre("layers"));
  }
  EXPECT_THAT(lora_of("peft_layers_to_transform: 2").layers_to_transform, ElementsAre(2));
  EXPECT_THAT(error_of("lora_rank_pattern: {q_proj: 0}"), HasSubstr("lora_rank_pattern.q_proj: expected a whole"));
  EXPECT_THAT(error_of("lora_rank_pattern: 4"), HasSubstr("a mapping such as {q_proj: 16}"));
  EXPECT_THAT(error_of("lora_alpha_pattern: {'(q': 4}"), HasSubstr("\"(q\" is no regular expression"));
  EXPECT_THAT(error_of("lora_layers_to_transform: [one]"), HasSubstr("lora_layers_to_transform: expected a whole"));
  EXPECT_THAT(error_of("lora_layers_pattern: layers"), HasSubstr("lora_layers_to_transform only"));
  EXPECT_THAT(error_of("lora_target_modules: .*q_proj\nlora_layers_to_transform: [0]"),
              HasSubstr("name the layers in it"));
}

TEST(AdapterFields, LlamaFactorysAlphaIsTwiceTheRankWhereItIsLeftOut) {
  EXPECT_EQ(lora_of("lora_rank: 32").alpha, 64);
  EXPECT_TRUE(load("lora_rank: 32").lora_alpha_by_rank);
  EXPECT_EQ(lora_of("lora_rank: 32\nlora_alpha: 16").alpha, 16);
  EXPECT_EQ(lora_of("lora_r: 32").alpha, 8);
  EXPECT_FALSE(load("lora_r: 32").lora_alpha_by_rank);
}

std::string error_of_rules(const std::string& lines) {
  const std::vector<UnitSpec> units = {
      {"model.layers.0", {{"model.layers.0.self_attn.q_proj.lora_A.weight", {2, 8}, {}}}}};
  try {
    check_rules_are_used(load(lines), units);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(AdapterFields, RulesThatMatchNothingAreSlips) {
  EXPECT_EQ(error_of_rules("lora_rank_pattern: {q_proj: 2}\nlora_layers_to_transform: [0]"), "no error");
  EXPECT_THAT(error_of_rules("lora_rank_pattern: {q_prj: 2}"), HasSubstr("r.yaml:6: lora_rank_pattern: \"q_prj\""));
  EXPECT_THAT(error_of_rules("lora_alpha_pattern: {k_proj: 2}"), HasSubstr("\"k_proj\" is the name of no module"));
  EXPECT_THAT(error_of_rules("lora_layers_to_transform: [0, 7]"), HasSubstr("nothing is adapted in layer 7"));
}

Adapter adapter_on(const std::vector<std::string>& modules) {
  Adapter adapter;
  adapter.config = {.rank = 4, .alpha = 8};
  for (const std::string& module : modules) {
    adapter.config.target_modules.push_back(module.substr(module.rfind('.') + 1));
    adapter.tensors[module + ".lora_A.weight"] = {{4, 8}, {}};
    adapter.tensors[module + ".lora_B.weight"] = {{8, 4}, {}};
  }
  return adapter;
}

std::string error_beside(const Adapter& start, const std::string& lines, bool tied_embeddings = false) {
  try {
    check_recipe_fits(load("lora_model_dir: old\n" + lines), start, tied_embeddings);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(AdapterFields, AnExpressionBesideAnAdapterMeansExactlyItsModules) {
  Adapter start = adapter_on({"model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"});
  for (const char* same :
       {"'.*q_proj'", R"('model\.layers\.[01]\.self_attn\.q_proj')", "q_proj", "[q_proj]", "self_attn.q_proj"})
    EXPECT_EQ(error_beside(start, fmt::format("lora_target_modules: {}", same)), "no error") << same;
  for (const char* other : {"'.*(q|v)_proj'", "'.*v_proj'", R"('model\.layers\.0\..*q_proj')", "'.*proj'", "'q_.*'",
                            "[q_proj, v_proj]", "[v_proj]", "all-linear"})
    EXPECT_THAT(error_beside(start, fmt::format("lora_target_modules: {}", other)),
                HasSubstr("but the adapter in old has [q_proj] and goes on as it is"))
        << other;
  EXPECT_THAT(error_beside(start, "lora_target_linear: true"), HasSubstr("r.yaml:7: lora_target_linear: [down_proj, "));
  // One that was made by an expression has that.
  start.config.target_pattern = ".*q_proj";
  EXPECT_EQ(error_beside(start, "lora_target_modules: '.*q_proj'"), "no error");
  EXPECT_THAT(error_beside(start, "lora_target_modules: '.*v_proj'"), HasSubstr("has .*q_proj"));
}

TEST(AdapterFields, WhatDiffersFromTheAdapterToStartFromIsRefused) {
  Adapter start = adapter_on({"model.layers.0.self_attn.q_proj"});
  EXPECT_EQ(error_beside(start, "lora_r: 4\nlora_alpha: 8\npeft_use_rslora: false\nlora_target: q_proj"), "no error");
  EXPECT_EQ(error_beside(start, ""), "no error") << "what is not given is the adapter's";
  for (const char* line :
       {"lora_r: 5", "lora_alpha: 9", "peft_use_rslora: true", "lora_rank_pattern: {q_proj: 2}",
        "lora_alpha_pattern: {q_proj: 2}", "lora_layers_to_transform: [0]",
        "lora_layers_to_transform: [0]\nlora_layers_pattern: layers", "lora_modules_to_save: [embed_tokens]"})
    EXPECT_THAT(error_beside(start, line), HasSubstr("write that, or remove this key")) << line;
  start.config.layers_to_transform = {0};
  EXPECT_THAT(error_beside(start, "lora_layers_to_transform: [0]\nlora_layers_pattern: layers"),
              HasSubstr("r.yaml:8: lora_layers_pattern"));
  // Tied, embedding and head are one matrix under two names.
  start.config.modules_to_save = {"embed_tokens"};
  EXPECT_EQ(error_beside(start, "lora_modules_to_save: [lm_head]", true), "no error");
  EXPECT_THAT(error_beside(start, "lora_modules_to_save: [lm_head]"), HasSubstr("has [embed_tokens]"));
  start.config.modules_to_save = {};
  EXPECT_THAT(error_beside(start, "lora_modules_to_save: [lm_head]", true), HasSubstr("has none"));
}

}  // namespace
}  // namespace shardlora
