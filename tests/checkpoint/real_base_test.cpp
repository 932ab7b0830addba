// The model that a new user gets. Expected values are gguf-py's (0.19) dequantised rows at the places that the Q/K
// permutation moves them from.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <optional>

#include "checkpoint/pack_unit.h"
#include "quant/quantize.h"

namespace shardlora {
namespace {

std::filesystem::path test_model() {
  if (const char* path = std::getenv("SHARDLORA_TEST_MODEL")) return path;
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path root =
      cache != nullptr ? cache : std::filesystem::path(home != nullptr ? home : "") / ".cache";
  return root / "shardlora" / "SmolLM2-135M-Instruct.Q4_1.gguf";
}

class RealBase : public testing::Test {
 protected:
  void SetUp() override {
    if (std::filesystem::exists(test_model())) {
      base_ = BaseModel::open(test_model());
      return;
    }
    const char* ci = std::getenv("CI");
    ASSERT_FALSE(ci != nullptr && std::string(ci) == "true") << test_model() << " is not there";
    GTEST_SKIP() << test_model() << " is not there; launch/quickstart fetches it";
  }
  std::vector<float> read(const std::string& gguf, std::int64_t heads, Shape shape) const {
    std::vector<float> out(static_cast<std::size_t>(shape.numel()));
    base_->read({gguf, heads}, {gguf, shape, {}}, out);
    return out;
  }
  std::optional<BaseModel> base_;
};

TEST_F(RealBase, HasTheNumbersOfSmolLm2) {
  EXPECT_EQ(base_->sha256(), "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
  const ModelConfig& config = base_->config();
  EXPECT_EQ(config.vocab, 49152);
  EXPECT_EQ(config.hidden, 576);
  EXPECT_EQ(config.intermediate, 1536);
  EXPECT_EQ(config.layers, 30);
  EXPECT_EQ(config.heads, 9);
  EXPECT_EQ(config.kv_heads, 3);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.max_positions, 8192);
  EXPECT_EQ(config.rope.theta, 100000.0);
  EXPECT_EQ(static_cast<float>(config.norm_eps), 1e-5F);
  EXPECT_TRUE(config.tied_embeddings);
}

TEST_F(RealBase, GivesRowsInHuggingFacesOrder) {
  const auto q = read("blk.0.attn_q.weight", 9, {576, 576});  // row 1 lies in the file as row 2
  EXPECT_EQ(std::vector<float>(q.begin() + 576, q.begin() + 579),
            (std::vector<float>{-0.1591796875F, 0.39794921875F, -0.0198974609375F}));
  const auto k = read("blk.29.attn_k.weight", 3, {192, 576});  // head 1: row 64 + 31 lies in the file as row 64 + 62
  EXPECT_EQ(std::vector<float>(k.begin() + 96 * 576 - 3, k.begin() + 96 * 576),
            (std::vector<float>{0.045654296875F, -0.093780517578125F, -0.04730224609375F}));
  const auto embedding = read("token_embd.weight", 0, {49152, 576});
  EXPECT_EQ(std::vector<float>(embedding.end() - 3, embedding.end()),
            (std::vector<float>{0.12858200073242188F, -0.11989402770996094F, -0.0417022705078125F}));
}

// 16 quantile levels of normal weights in blocks of 64 leave some 9 % of the norm as error.
TEST_F(RealBase, IsPackedToNf4WithItsUsualError) {
  const Format nf4{.codec = Codec::kNF4, .block = 64, .double_quant = true};
  const ModelSpec model(base_->config(), rest_as(nf4, {.codec = Codec::kBF16}), nullptr);
  base_->check(model);
  const std::size_t unit = model.layer_unit(7);
  const UnitSpec& spec = model.units()[unit];
  const UnitLayout layout(spec);
  std::vector<std::byte> flat(layout.frozen_bytes());
  pack_unit(*base_, layout, flat);
  const auto views = layout.views(flat.data(), nullptr, DType::kF32);
  for (std::size_t p = 0; p < views.size(); ++p) {
    const StoredName stored = base_->name_of(spec.params[p].name);
    const auto values = read(stored.name, stored.permuted_heads, spec.params[p].shape);
    std::vector<float> decoded(values.size());
    dequantize(views[p], 0, decoded);
    double error = 0, norm = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      error += std::pow(decoded[i] - values[i], 2);
      norm += std::pow(values[i], 2);
    }
    const double relative = std::sqrt(error / norm);
    if (views[p].format.dense()) {
      EXPECT_EQ(relative, 0) << spec.params[p].name;
    } else {
      EXPECT_GT(relative, 0.05) << spec.params[p].name;
      EXPECT_LT(relative, 0.12) << spec.params[p].name;
    }
  }
}

TEST_F(RealBase, RestsOnTheBytesOfItsFile) {
  const ModelSpec model(
      base_->config(), [&](const std::string& name) { return base_->stored_format(base_->name_of(name)).value(); },
      nullptr);
  std::size_t resting = 0, dense = 0;
  for (const UnitSpec& unit : model.units())
    for (const ParamSpec& param : unit.params)
      (param.format.dense() ? dense : resting) += section_bytes(param.format, param.shape)[0];
  // By the gguf package: 210 tensors of Q4_1, one of Q8_0, 61 of F32.
  EXPECT_EQ(resting, 66355200U + 30081024U);
  EXPECT_EQ(dense, 140544U);

  const std::size_t unit = model.layer_unit(7);
  const UnitLayout layout(model.units()[unit]);
  std::vector<std::byte> flat(layout.frozen_bytes());
  pack_unit(*base_, layout, flat);
  const auto views = layout.views(flat.data(), nullptr, DType::kF32);
  for (std::size_t p = 0; p < views.size(); ++p) {
    const StoredName stored = base_->name_of(layout.spec().params[p].name);
    const auto values = read(stored.name, stored.permuted_heads, views[p].shape);
    std::vector<float> decoded(values.size());
    dequantize(views[p], 0, decoded);
    EXPECT_EQ(decoded, values) << stored.name;
  }
}

}  // namespace
}  // namespace shardlora
