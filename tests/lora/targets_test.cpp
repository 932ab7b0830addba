#include <gtest/gtest.h>

#include "lora/lora.h"

namespace shardlora {
namespace {

LoraConfig with_targets(std::vector<std::string> targets) {
  return {.rank = 8, .alpha = 16, .target_modules = std::move(targets)};
}

TEST(LoraConfig, TargetsModulesByTheirWholeLastParts) {
  const LoraConfig config = with_targets({"q_proj", "mlp.down_proj"});
  EXPECT_TRUE(config.targets("model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(config.targets("q_proj"));
  EXPECT_TRUE(config.targets("model.layers.11.mlp.down_proj"));
  EXPECT_FALSE(config.targets("model.layers.0.self_attn.k_proj"));
  EXPECT_FALSE(config.targets("model.layers.0.self_attn.qq_proj"));  // ends with it, but not after a dot
  EXPECT_FALSE(config.targets("model.layers.0.expert.down_proj"));
  EXPECT_FALSE(config.targets("model.layers.0.self_attn.q_proj.lora_A"));
  EXPECT_FALSE(config.targets("proj"));
}

TEST(LoraConfig, TargetsOneLayerByItsFullName) {
  const LoraConfig config = with_targets({"model.layers.1.self_attn.v_proj"});
  EXPECT_TRUE(config.targets("model.layers.1.self_attn.v_proj"));
  EXPECT_FALSE(config.targets("model.layers.11.self_attn.v_proj"));
}

TEST(LoraConfig, TargetsNothingWithAnEmptyList) {
  EXPECT_FALSE(with_targets({}).targets("model.layers.0.self_attn.q_proj"));
}

TEST(LoraConfig, ScalesByAlphaOverTheRootOfTheRankWhenStabilised) {
  EXPECT_EQ((LoraConfig{.rank = 16, .alpha = 8, .target_modules = {}, .rslora = true}.scale()), 2.0);
}

TEST(LoraConfig, ScalesByAlphaOverRank) { EXPECT_EQ(with_targets({}).scale(), 2.0); }

}  // namespace
}  // namespace shardlora
