#include <fmt/format.h>
#include <gtest/gtest.h>

#include "lora/lora_modules.h"

namespace shardlora {
namespace {

LoraConfig with_targets(std::vector<std::string> targets) {
  return {.rank = 8, .alpha = 16, .target_modules = std::move(targets)};
}

TEST(LoraModules, TargetsModulesByTheirWholeLastParts) {
  const LoraModules modules(with_targets({"q_proj", "mlp.down_proj"}));
  EXPECT_TRUE(modules.targets("model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(modules.targets("q_proj"));
  EXPECT_TRUE(modules.targets("model.layers.11.mlp.down_proj"));
  EXPECT_FALSE(modules.targets("model.layers.0.self_attn.k_proj"));
  EXPECT_FALSE(modules.targets("model.layers.0.self_attn.qq_proj"));  // ends with it, but not after a dot
  EXPECT_FALSE(modules.targets("model.layers.0.expert.down_proj"));
  EXPECT_FALSE(modules.targets("model.layers.0.self_attn.q_proj.lora_A"));
  EXPECT_FALSE(modules.targets("proj"));
}

TEST(LoraModules, TargetsOneLayerByItsFullName) {
  const LoraModules modules(with_targets({"model.layers.1.self_attn.v_proj"}));
  EXPECT_TRUE(modules.targets("model.layers.1.self_attn.v_proj"));
  EXPECT_FALSE(modules.targets("model.layers.11.self_attn.v_proj"));
}

TEST(LoraModules, TargetsNothingWithAnEmptyList) {
  EXPECT_FALSE(LoraModules(with_targets({})).targets("model.layers.0.self_attn.q_proj"));
}

TEST(LoraModules, ScalesByAlphaOverTheRootOfTheRankWhenStabilised) {
  EXPECT_EQ(LoraModules({.rank = 16, .alpha = 8, .rslora = true}).scale("q_proj"), 2.0);
}

TEST(LoraModules, ScalesByAlphaOverRank) { EXPECT_EQ(LoraModules(with_targets({})).scale("q_proj"), 2.0); }

bool only_q_of(const LoraConfig& config, std::int64_t layer) {
  const LoraModules modules(config);
  for (std::int64_t l = 0; l < 12; ++l)
    if (modules.targets(fmt::format("model.layers.{}.self_attn.q_proj", l)) != (l == layer)) return false;
  return !modules.targets(fmt::format("model.layers.{}.self_attn.k_proj", layer));
}

TEST(LoraModules, TargetsWhatAnExpressionMatchesAsAWhole) {
  EXPECT_TRUE(only_q_of({.target_pattern = R"(model\.layers\.1\..*q_proj)"}, 1));
  EXPECT_FALSE(LoraModules({.target_pattern = "q_proj"}).targets("model.layers.0.self_attn.q_proj"));
}

TEST(LoraModules, TargetsTheChosenLayersOnly) {
  EXPECT_TRUE(only_q_of({.target_modules = {"q_proj"}, .layers_to_transform = {11}}, 11));
  EXPECT_TRUE(
      only_q_of({.target_modules = {"q_proj"}, .layers_to_transform = {1}, .layers_pattern = {"h", "layers"}}, 1));
  EXPECT_TRUE(
      only_q_of({.target_modules = {"q_proj"}, .layers_to_transform = {1}, .layers_pattern = {"model.layers"}}, 1));
  // The first number of a name is the layer's.
  for (const std::vector<std::string>& pattern : {std::vector<std::string>{}, {"layers"}}) {
    const LoraModules modules({.target_modules = {"up_proj"}, .layers_to_transform = {1}, .layers_pattern = pattern});
    EXPECT_TRUE(modules.targets("model.layers.1.mlp.layers.2.up_proj"));
    EXPECT_FALSE(modules.targets("model.layers.2.mlp.layers.1.up_proj"));
  }
  const LoraModules elsewhere({.target_modules = {"q_proj"}, .layers_to_transform = {1}, .layers_pattern = {"h"}});
  EXPECT_FALSE(elsewhere.targets("model.layers.1.self_attn.q_proj"));
  // PEFT asks for no layer where a module is named in full.
  EXPECT_TRUE(only_q_of({.target_modules = {"model.layers.3.self_attn.q_proj"}, .layers_to_transform = {1}}, 3));
}

TEST(LoraModules, TakeTheFirstPatternThatMatchesTheEndOfAName) {
  const LoraModules modules({.rank = 8,
                             .alpha = 16,
                             .rank_pattern = {{"q_proj", 2}, {R"(layers\.1\..*)", 32}, {"^proj", 1}},
                             .alpha_pattern = {{"self_attn.(q|k)_proj", 64}}});
  EXPECT_EQ(modules.rank("model.layers.1.self_attn.q_proj"), 2);
  EXPECT_EQ(modules.rank("model.layers.1.mlp.up_proj"), 32);
  EXPECT_EQ(modules.rank("model.layers.11.mlp.up_proj"), 8);
  EXPECT_EQ(modules.rank("model.layers.0.self_attn.qq_proj"), 8);
  EXPECT_EQ(modules.scale("model.layers.0.self_attn.q_proj"), 32.0);
  EXPECT_EQ(modules.scale("model.layers.0.mlp.up_proj"), 2.0);
  const LoraModules either({.rank = 8, .rank_pattern = {{"q_proj|k_proj", 2}}});
  EXPECT_EQ(either.rank("model.layers.1.self_attn.q_proj"), 2);
  EXPECT_EQ(either.rank("model.layers.1.self_attn.k_proj"), 2);
  EXPECT_EQ(either.rank("model.layers.1.self_attn.qk_proj"), 8);
}

}  // namespace
}  // namespace shardlora
