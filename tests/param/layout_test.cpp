#include "param/layout.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "quant/quantize.h"

namespace shardlora {
namespace {

constexpr Format kF32{.codec = Codec::kF32};
constexpr Format kBF16{.codec = Codec::kBF16};
constexpr Format kNF4{.codec = Codec::kNF4, .block = 64, .double_quant = false};
constexpr Format kNF4Double{.codec = Codec::kNF4, .block = 64, .double_quant = true};

// A layer with every kind of parameter, sizes that fill neither blocks nor pages.
UnitSpec layer() {
  return {"model.layers.0",
          {{"q_proj.weight", {192, 193}, kNF4Double},
           {"q_proj.lora_A.weight", {3, 193}, kF32, true},
           {"q_proj.lora_B.weight", {192, 3}, kF32, true},
           {"k_proj.weight", {64, 77}, kNF4},
           {"input_layernorm.weight", {193}, kF32},
           {"o_proj.weight", {192, 65}, kBF16},
           {"down_proj.weight", {1000, 65}, kNF4Double},
           {"down_proj.lora_A.weight", {3, 65}, kF32, true}}};
}

TEST(UnitLayout, LaysEveryParameterOnPagesOfItsOwnAsAPreparedBaseHasIt) {
  const UnitSpec spec = layer();
  const UnitLayout layout(spec);
  std::size_t end = 0;
  for (std::size_t p = 0; p < spec.params.size(); ++p) {
    const ParamSpec& param = spec.params[p];
    if (param.trainable) continue;
    const ParamLayout own = layout_of(param.format, param.shape);
    const SectionBytes bytes = section_bytes(param.format, param.shape);
    EXPECT_EQ(layout.section_offset(p, 0), end) << param.name;
    EXPECT_EQ(end % kPage, 0U);
    std::size_t section_end = 0;
    for (std::size_t s = 0; s < bytes.size(); ++s) {
      EXPECT_EQ(layout.section_offset(p, static_cast<int>(s)), end + own.sections[s]);
      EXPECT_EQ(own.sections[s] % kSectionAlignment, 0U);
      EXPECT_GE(own.sections[s], section_end);
      section_end = own.sections[s] + bytes[s];
    }
    EXPECT_LE(section_end, own.bytes);
    EXPECT_LT(own.bytes - section_end, kPage);
    end += own.bytes;
    EXPECT_EQ(layout.end_of(p), end);
  }
  EXPECT_EQ(layout.frozen_bytes(), end);
}

TEST(UnitLayout, LaysTrainableElementsOneAfterTheOther) {
  const UnitSpec spec = layer();
  const UnitLayout layout(spec);
  EXPECT_EQ(layout.element_offset(1), 0);
  EXPECT_EQ(layout.element_offset(2), 3 * 193);
  EXPECT_EQ(layout.element_offset(7), 3 * 193 + 192 * 3);
  EXPECT_EQ(layout.trainable_elements(), 3 * 193 + 192 * 3 + 3 * 65);

  std::vector<float> elements(static_cast<std::size_t>(layout.trainable_elements()));
  const auto views = layout.trainable_views(reinterpret_cast<std::byte*>(elements.data()));
  ASSERT_EQ(views.size(), 3U);
  EXPECT_EQ(views[2].as<float>(), elements.data() + 3 * 193 + 192 * 3);
  EXPECT_EQ(views[2].shape, (Shape{3, 65}));
}

TEST(UnitLayout, GivesTrainableParametersAsDenseValuesOfTheAskedDtype) {
  const UnitSpec spec = layer();
  const UnitLayout layout(spec);
  std::vector<BF16> compute(static_cast<std::size_t>(layout.trainable_elements()));
  const auto* bytes = reinterpret_cast<const std::byte*>(compute.data());
  const auto views = layout.views(nullptr, bytes, DType::kBF16);
  ASSERT_EQ(views.size(), spec.params.size());
  EXPECT_EQ(views[2].dense().as<BF16>(), compute.data() + 3 * 193);
  EXPECT_EQ(views[0].sections[0], nullptr);
  EXPECT_EQ(views[0].format, kNF4Double);
}

TEST(UnitLayout, OfAnEmptyUnitIsEmpty) {
  const UnitSpec spec{"nothing", {}};
  const UnitLayout layout(spec);
  EXPECT_EQ(layout.frozen_bytes(), 0U);
  EXPECT_EQ(layout.trainable_elements(), 0);
  EXPECT_TRUE(layout.views(nullptr, nullptr, DType::kF32).empty());
}

TEST(EqualCuts, CoverEverythingInSharesOfWholePagesAsLongAsTheFirst) {
  for (const std::size_t total : {0UL, 1UL, 4096UL, 4097UL, 40960UL, 123456UL}) {
    for (int ranks = 1; ranks <= 8; ++ranks) {
      const auto cuts = equal_cuts(total, kPage, ranks);
      ASSERT_EQ(cuts.size(), static_cast<std::size_t>(ranks) + 1);
      EXPECT_EQ(cuts.front(), 0U);
      EXPECT_EQ(cuts.back(), total);
      for (std::size_t r = 0; r + 1 < cuts.size(); ++r) {
        ASSERT_LE(cuts[r], cuts[r + 1]);
        if (cuts[r + 1] != total) {
          EXPECT_EQ(cuts[r + 1], (r + 1) * cuts[1]);
          EXPECT_EQ(cuts[r + 1] % kPage, 0U);
        }
      }
      EXPECT_LT(cuts[1], total / static_cast<std::size_t>(ranks) + kPage + 1) << total << " bytes over " << ranks;
    }
  }
}

// What the memory plan promises: a rank holds its share of the packed bytes, and less than a page for each parameter
// and the cut, and 63 bytes a section.
TEST(UnitLayout, GivesEveryRankItsShareAndBoundedPadding) {
  const UnitSpec spec = layer();
  const UnitLayout layout(spec);
  std::size_t packed = 0, sections = 0, params = 0;
  for (const ParamSpec& param : spec.params) {
    if (param.trainable) continue;
    ++params;
    for (const std::size_t bytes : section_bytes(param.format, param.shape)) packed += bytes, sections += bytes > 0;
  }
  for (std::size_t ranks = 1; ranks <= 8; ++ranks) {
    const auto cuts = equal_cuts(layout.frozen_bytes(), kPage, static_cast<int>(ranks));
    for (std::size_t r = 0; r < ranks; ++r) {
      const std::size_t padding = (params * (kPage - 1) + sections * (kSectionAlignment - 1)) / ranks + kPage;
      EXPECT_LE(cuts[r + 1] - cuts[r], packed / ranks + padding);
    }
  }
}

TEST(UnitLayout, ReadsTheSameValuesFromGatheredSharesOfEveryCut) {
  const UnitSpec spec = layer();
  const UnitLayout layout(spec);
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<std::byte> flat(layout.frozen_bytes());
  for (std::size_t p = 0; p < spec.params.size(); ++p) {
    if (spec.params[p].trainable) continue;
    std::vector<float> values(static_cast<std::size_t>(spec.params[p].shape.numel()));
    for (float& v : values) v = normal(random);
    Sections sections{};
    for (int s = 0; s < kSections; ++s)
      sections[static_cast<std::size_t>(s)] = flat.data() + layout.section_offset(p, s);
    quantize(spec.params[p].format, values, sections);
  }
  const auto decoded = [&](const std::vector<std::byte>& bytes) {
    std::vector<float> all;
    for (const PackedTensor& view : layout.views(bytes.data(), nullptr, DType::kF32)) {
      if (view.sections[0] == nullptr) continue;
      std::vector<float> values(static_cast<std::size_t>(view.shape.numel()));
      dequantize(view, 0, values);
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  const std::vector<float> whole = decoded(flat);
  EXPECT_GT(std::count_if(whole.begin(), whole.end(), [](float v) { return v != 0; }), std::ssize(whole) / 2);
  for (int ranks = 2; ranks <= 8; ++ranks) {
    const auto cuts = equal_cuts(flat.size(), kPage, ranks);
    std::vector<std::byte> gathered(flat.size(), std::byte{0xAB});
    for (std::size_t r = 0; r + 1 < cuts.size(); ++r) {
      const std::vector<std::byte> share(flat.begin() + static_cast<std::ptrdiff_t>(cuts[r]),
                                         flat.begin() + static_cast<std::ptrdiff_t>(cuts[r + 1]));
      std::copy(share.begin(), share.end(), gathered.begin() + static_cast<std::ptrdiff_t>(cuts[r]));
    }
    EXPECT_EQ(decoded(gathered), whole) << ranks << " ranks";
  }
}

}  // namespace
}  // namespace shardlora
