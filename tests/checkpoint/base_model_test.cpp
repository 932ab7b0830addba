#include "checkpoint/base_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>

#include "base/file.h"
#include "checkpoint/error_of.h"
#include "checkpoint/pack_unit.h"
#include "checkpoint/tiny_llama.h"
#include "quant/quantize.h"
#include "quant/random_blocks.h"

namespace shardlora {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string error_of_opening(const TinyGguf& gguf) {
  return error_of([&] { Opened{gguf}; });
}

TEST(BaseModel, TakesItsNumbersFromTheMetadata) {
  const Opened opened(tiny_llama());
  const ModelConfig& config = opened.base.config();
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.vocab, kVocab);
  EXPECT_EQ(config.hidden, kHidden);
  EXPECT_EQ(config.intermediate, 96);
  EXPECT_EQ(config.layers, 1);
  EXPECT_EQ(config.heads, kHeads);
  EXPECT_EQ(config.kv_heads, kKeyHeads);
  EXPECT_EQ(config.head_dim, kHeadDim);
  EXPECT_EQ(config.max_positions, 128);
  EXPECT_EQ(config.rope.theta, 5000.0);
  EXPECT_EQ(static_cast<float>(config.norm_eps), 1e-6F);
  EXPECT_TRUE(config.tied_embeddings);
}

TEST(BaseModel, KnowsAnOwnHeadAndAnExplicitHeadLength) {
  TinyGguf gguf = tiny_llama();
  gguf.set("llama.attention.key_length", 32U);
  gguf.set("llama.attention.value_length", 32U);
  gguf.set("llama.rope.dimension_count", 32U);
  gguf.drop("llama.attention.head_count_kv");
  gguf.drop("llama.rope.freq_base");
  gguf.tensors.push_back({"output.weight", {kVocab, kHidden}, normal_values(kVocab * kHidden, 9)});
  const Opened opened(gguf);
  EXPECT_FALSE(opened.base.config().tied_embeddings);
  EXPECT_EQ(opened.base.config().head_dim, 32);
  EXPECT_EQ(opened.base.config().kv_heads, kHeads);
  EXPECT_EQ(opened.base.config().rope.theta, 10000.0);
}

TEST(BaseModel, HasTheHashOfItsFile) {
  const Opened opened(tiny_llama());
  EXPECT_EQ(opened.base.sha256(), sha256_of_file(opened.base.path()));
  EXPECT_EQ(opened.base.sha256().size(), 64U);
}

TEST(BaseModel, RefusesWhatItCannotCompute) {
  const auto with = [](const std::string& key, TinyGguf::Value value) {
    TinyGguf gguf = tiny_llama();
    gguf.set(key, std::move(value));
    return error_of_opening(gguf);
  };
  EXPECT_THAT(with("general.architecture", "gptneox"),
              AllOf(HasSubstr("unknown architecture \"gptneox\""), HasSubstr("llama")));
  EXPECT_THAT(with("llama.rope.scaling.type", "longrope"),
              HasSubstr("rotary scaling \"longrope\" (metadata key llama.rope.scaling.type) is not supported yet"));
  EXPECT_EQ(with("llama.rope.scaling.type", "none"), "");
  EXPECT_THAT(with("llama.rope.scaling.yarn_log_multiplier", 0.1F), HasSubstr("this variant of yarn"));
  EXPECT_THAT(with("llama.expert_count", 8U), HasSubstr("mixture of experts"));
  EXPECT_THAT(with("llama.rope.dimension_count", 8U), HasSubstr("llama.rope.dimension_count"));
  EXPECT_THAT(with("split.count", 3U), HasSubstr("one of 3 parts"));
}

TEST(BaseModel, ReadsRotaryScaling) {
  TinyGguf gguf = tiny_llama();
  gguf.set("llama.rope.scaling.factor", 4.0F);  // without a type: linear, as in old files
  const Opened linear(gguf);
  EXPECT_EQ(linear.base.config().rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(linear.base.config().rope.factor, 4.0);

  gguf.set("llama.rope.scaling.type", "yarn");
  const Opened yarn(gguf);
  EXPECT_EQ(yarn.base.config().rope.scaling, RopeScaling::kYarn);
  EXPECT_EQ(yarn.base.config().rope.original_positions, 128);
  gguf.set("llama.rope.scaling.original_context_length", 32U);
  gguf.set("llama.rope.scaling.attn_factor", 0.5F);
  const Opened given(gguf);
  EXPECT_EQ(given.base.config().rope.original_positions, 32);
  EXPECT_DOUBLE_EQ(*given.base.config().rope.attention_factor, 0.5 * (0.1 * std::log(4.0) + 1));

  gguf = tiny_llama();
  gguf.tensors.push_back({"rope_freqs.weight", {8}, {1, 1, 1, 2, 3, 4, 4, 4}});
  const Opened divided(gguf);
  EXPECT_EQ(divided.base.config().rope.scaling, RopeScaling::kDivisors);
  EXPECT_EQ(divided.base.config().rope.divisors, (std::vector<float>{1, 1, 1, 2, 3, 4, 4, 4}));
  gguf.tensor("rope_freqs.weight").values[2] = 0;
  EXPECT_THAT(error_of_opening(gguf), HasSubstr("divisors of frequencies have to be positive"));
  gguf.tensor("rope_freqs.weight") = {"rope_freqs.weight", {4}, {1, 1, 1, 1}};
  EXPECT_THAT(error_of_opening(gguf), AllOf(HasSubstr("rope_freqs.weight is (4)"), HasSubstr("(8)")));
}

TEST(BaseModel, RefusesNumbersThatMakeNoModel) {
  const auto with = [](const std::string& key, TinyGguf::Value value) {
    TinyGguf gguf = tiny_llama();
    gguf.set(key, std::move(value));
    return error_of_opening(gguf);
  };
  EXPECT_THAT(with("llama.attention.head_count", 0U), HasSubstr("llama.attention.head_count is 0"));
  EXPECT_THAT(with("llama.attention.head_count_kv", 3U), HasSubstr("4 attention heads cannot share 3"));
  EXPECT_THAT(with("llama.attention.head_count", 6U), HasSubstr("cannot be cut into 6 heads"));
  EXPECT_THAT(with("llama.block_count", 1000000U), HasSubstr("incomplete"));
  EXPECT_THAT(with("llama.embedding_length", 4000000000U), HasSubstr("between 1 and"));
  EXPECT_THAT(with("llama.embedding_length", 128U), AllOf(HasSubstr("(10, 64)"), HasSubstr("128")));
  EXPECT_THAT(with("llama.attention.key_length", 12U), HasSubstr("heads of 12 values are not supported"));
  EXPECT_THAT(with("llama.rope.freq_base", -1.0F), HasSubstr("has to be positive"));
  EXPECT_THAT(with("llama.block_count", "one"), HasSubstr("llama.block_count"));
  TinyGguf gguf = tiny_llama();
  gguf.drop("llama.block_count");
  EXPECT_THAT(error_of_opening(gguf), HasSubstr("llama.block_count"));
  gguf = tiny_llama();
  gguf.drop_tensor("token_embd.weight");
  EXPECT_THAT(error_of_opening(gguf), HasSubstr("token_embd.weight"));
}

TEST(BaseModel, SaysWhatToGiveInsteadOfWhatIsThere) {
  const TemporaryDirectory directory;
  EXPECT_THAT(error_of([&] { BaseModel::open(directory.path()); }),
              AllOf(HasSubstr("is no model folder"), HasSubstr("Hugging Face folder"), HasSubstr(".gguf")));
  EXPECT_THAT(error_of([&] { BaseModel::open(directory.path() / "none.gguf"); }), HasSubstr("none.gguf: No such file"));
  EXPECT_THAT(error_of([&] { BaseModel::open(directory.write("model.safetensors", "")); }),
              HasSubstr("give the folder that it lies in"));
}

// By hand, one head of 4 rows: stored pairs (0 1) (2 3) are rows (0 2) (1 3) of the halves.
TEST(BaseModel, PutsTheRowsOfRotaryPairsBackIntoHalves) {
  std::vector<float> rows = {0, 0.5F, 1, 1.5F, 2, 2.5F, 3, 3.5F, /* second head */ 4, 4.5F, 5, 5.5F, 6, 6.5F, 7, 7.5F};
  unpermute_heads(std::as_writable_bytes(std::span(rows)), 4, 2 * sizeof(float));
  EXPECT_EQ(rows, (std::vector<float>{0, 0.5F, 2, 2.5F, 1, 1.5F, 3, 3.5F, 4, 4.5F, 6, 6.5F, 5, 5.5F, 7, 7.5F}));
}

// llama.cpp's converter in other words: reshape (heads, 2, half, columns), swap the middle two.
TEST(BaseModel, UndoesTheConvertersPermutation) {
  const ParamSpec param{"q", {kHeads * kHeadDim, kHidden}, {.codec = Codec::kF32}};
  const std::vector<float> ours = normal_values(param.shape.numel(), 20);
  TinyGguf gguf = tiny_llama();
  std::vector<float>& stored = gguf.tensor("blk.0.attn_q.weight").values;
  for (std::int64_t h = 0; h < kHeads; ++h) {
    for (std::int64_t p = 0; p < 2; ++p) {
      for (std::int64_t k = 0; k < kHeadDim / 2; ++k) {
        const std::int64_t to = h * kHeadDim + 2 * k + p, from = h * kHeadDim + p * kHeadDim / 2 + k;
        std::copy_n(ours.begin() + from * kHidden, kHidden, stored.begin() + to * kHidden);
      }
    }
  }
  const Opened opened(gguf);
  const StoredName name{"blk.0.attn_q.weight", kHeads};
  std::vector<float> read(ours.size());
  opened.base.read(name, param, read);
  EXPECT_EQ(read, ours);

  EXPECT_EQ(opened.base.row_grain(name, param), kHeadDim);
  std::vector<float> second_head(kHeadDim * kHidden);
  opened.base.read_rows(name, param, kHeadDim, second_head);
  EXPECT_TRUE(std::equal(second_head.begin(), second_head.end(), ours.begin() + kHeadDim * kHidden));
}

TEST(BaseModel, NamesTheTensorThatIsMissingMisshapenOrDamaged) {
  TinyGguf gguf = tiny_llama();
  gguf.tensor("blk.0.attn_norm.weight").values[3] = std::numeric_limits<float>::infinity();
  gguf.drop_tensor("blk.0.ffn_norm.weight");
  const Opened opened(gguf);
  std::vector<float> out(static_cast<std::size_t>(kHidden));
  const ParamSpec norm{"model.layers.0.input_layernorm.weight", {kHidden}, {.codec = Codec::kF32}};
  EXPECT_THAT(error_of([&] { opened.base.read({"blk.0.attn_norm.weight"}, norm, out); }),
              AllOf(HasSubstr("blk.0.attn_norm.weight"), HasSubstr("infinite")));
  EXPECT_THAT(error_of([&] { opened.base.read({"blk.0.ffn_norm.weight"}, norm, out); }),
              AllOf(HasSubstr("no tensor blk.0.ffn_norm.weight"), HasSubstr(norm.name)));
  const ParamSpec wide{"model.layers.0.self_attn.q_proj.weight", {128, kHidden}, {.codec = Codec::kF32}};
  EXPECT_THAT(error_of([&] { opened.base.row_grain({"blk.0.attn_q.weight", kHeads}, wide); }),
              AllOf(HasSubstr("blk.0.attn_q.weight is (64, 64)"), HasSubstr("(128, 64)"), HasSubstr(wide.name)));
}

// A unit with pieces to spare: several a tensor, permuted rows, blocks that cross rows, a short last block.
struct Unit {
  Unit() {
    const auto add = [&](const std::string& name, Shape shape, const Format& format) {
      gguf.tensors.push_back({name, shape, normal_values(shape.numel(), static_cast<unsigned>(gguf.tensors.size()))});
      spec.params.push_back({name, shape, format});
    };
    add("rotary", {kHeads * 2 * 16, 3000}, {.codec = Codec::kNF4, .block = 64, .double_quant = true});
    spec.params.push_back({"adapter", {4, 7}, {}, true});
    add("crossing", {611, 333}, {.codec = Codec::kNF4, .block = 64, .double_quant = false});
    add("norm", {301}, {.codec = Codec::kF32});
    add("dense", {300, 701}, {.codec = Codec::kBF16});
  }
  static StoredName name(const std::string& parameter) { return {parameter, parameter == "rotary" ? kHeads : 0}; }
  TinyGguf gguf = tiny_llama();
  UnitSpec spec{"unit", {}};
};

TEST(PackUnit, GivesWhatQuantisingEachWholeTensorGives) {
  const Unit unit;
  const Opened opened(unit.gguf);
  const UnitLayout layout(unit.spec);
  std::vector<std::byte> flat(layout.frozen_bytes(), std::byte{0xAB}), expected(layout.frozen_bytes());
  pack_unit(opened.base, Unit::name, layout, flat);
  for (std::size_t p = 0; p < unit.spec.params.size(); ++p) {
    const ParamSpec& param = unit.spec.params[p];
    if (param.trainable) continue;
    std::vector<float> values(static_cast<std::size_t>(param.shape.numel()));
    opened.base.read(Unit::name(param.name), param, values);
    Sections sections{};
    for (int s = 0; s < kSections; ++s)
      sections[static_cast<std::size_t>(s)] = expected.data() + layout.section_offset(p, s);
    quantize(param.format, values, sections);
  }
  EXPECT_EQ(flat, expected);
}

TEST(PackUnit, GivesTheSameBytesOnAnyNumberOfThreads) {
  const Unit unit;
  const Opened opened(unit.gguf);
  const UnitLayout layout(unit.spec);
  const int threads_before = omp_get_max_threads();
  std::vector<std::byte> one(layout.frozen_bytes()), many(layout.frozen_bytes());
  omp_set_num_threads(1);
  pack_unit(opened.base, Unit::name, layout, one);
  omp_set_num_threads(5);
  pack_unit(opened.base, Unit::name, layout, many);
  omp_set_num_threads(threads_before);
  EXPECT_EQ(one, many);
}

// Rows of q go to other places, each with its blocks as they are; nothing else about the file's bytes changes.
TEST(PackUnit, TakesOverTheBlocksOfTheFile) {
  const Format q4_1{.codec = Codec::kQ4_1}, q6_k{.codec = Codec::kQ6_K};
  const std::int64_t head = 2 * 16, width = 3008, row = width / 32 * 20;
  TinyGguf gguf = tiny_llama();
  gguf.tensors.push_back({"rotary", {kHeads * head, width}, {}, random_blocks(q4_1, kHeads * head * width, 1), 3});
  gguf.tensors.push_back({"plain", {700, 512}, {}, random_blocks(q6_k, 700 * 512, 2), 14});
  const Opened opened(gguf);
  const UnitSpec spec{"unit", {{"rotary", {kHeads * head, width}, q4_1}, {"plain", {700, 512}, q6_k}}};
  const UnitLayout layout(spec);
  std::vector<std::byte> flat(layout.frozen_bytes());
  pack_unit(opened.base, Unit::name, layout, flat);

  const auto section = [&](std::size_t p) { return flat.data() + layout.section_offset(p, 0); };
  const std::vector<std::byte>&rotary = gguf.tensor("rotary").blocks, &plain = gguf.tensor("plain").blocks;
  EXPECT_TRUE(std::equal(plain.begin(), plain.end(), section(1)));
  for (std::int64_t h = 0; h < kHeads; ++h)
    for (std::int64_t k = 0; k < head / 2; ++k)
      for (std::int64_t p = 0; p < 2; ++p) {
        const auto from = rotary.begin() + (h * head + 2 * k + p) * row;
        ASSERT_TRUE(std::equal(from, from + row, section(0) + (h * head + p * head / 2 + k) * row)) << h << " " << k;
      }
  for (std::size_t p = 0; p < spec.params.size(); ++p) {
    const ParamSpec& param = spec.params[p];
    std::vector<float> read(static_cast<std::size_t>(param.shape.numel())), decoded(read.size());
    opened.base.read(Unit::name(param.name), param, read);
    dequantize({param.format, param.shape, {section(p)}}, 0, decoded);
    EXPECT_EQ(decoded, read) << param.name;
  }
}

TEST(PackUnit, RefusesBlocksWhoseScaleIsNoNumber) {
  const Format q8_0{.codec = Codec::kQ8_0};
  TinyGguf gguf = tiny_llama();
  gguf.tensors.push_back({"plain", {700, 512}, {}, random_blocks(q8_0, 700 * 512, 2), 8});
  std::byte* const scale = gguf.tensor("plain").blocks.data() + 34 * 9000;
  scale[0] = std::byte{1};
  scale[1] = std::byte{0x7C};
  const Opened opened(gguf);
  const UnitSpec spec{"unit", {{"plain", {700, 512}, q8_0}}};
  const UnitLayout layout(spec);
  std::vector<std::byte> flat(layout.frozen_bytes());
  EXPECT_THAT(error_of([&] { pack_unit(opened.base, Unit::name, layout, flat); }),
              HasSubstr("tensor plain holds a value that is infinite or not a number"));
}

TEST(PackUnit, CarriesAnErrorOutOfItsThreads) {
  Unit unit;
  unit.gguf.tensor("crossing").values[200000] = std::numeric_limits<float>::quiet_NaN();
  const Opened opened(unit.gguf);
  const UnitLayout layout(unit.spec);
  std::vector<std::byte> flat(layout.frozen_bytes());
  EXPECT_THAT(error_of([&] { pack_unit(opened.base, Unit::name, layout, flat); }), HasSubstr("tensor crossing"));
}

}  // namespace
}  // namespace shardlora
