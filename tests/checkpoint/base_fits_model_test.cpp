#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/error_of.h"
#include "checkpoint/pack_unit.h"
#include "checkpoint/tiny_llama.h"

namespace shardlora {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string error_of_check(const TinyGguf& gguf) {
  return error_of([&] {
    const Opened opened(gguf);
    const Format f32{.codec = Codec::kF32};
    opened.base.check({opened.base.config(), rest_as(f32, f32), nullptr});
  });
}

TEST(BaseModel, FitsItsModelWithTiedAndOwnHead) {
  TinyGguf gguf = tiny_llama();
  EXPECT_EQ(error_of_check(gguf), "");
  gguf.tensors.push_back({"output.weight", {kVocab, kHidden}, normal_values(kVocab * kHidden, 9)});
  EXPECT_EQ(error_of_check(gguf), "");
}

TEST(BaseModel, RefusesATensorThatTheModelWouldLeaveOut) {
  TinyGguf gguf = tiny_llama();
  gguf.tensors.push_back({"blk.0.attn_q_norm.weight", {kHeads * kHeadDim}, std::vector<float>(kHeads * kHeadDim)});
  EXPECT_THAT(error_of_check(gguf), AllOf(HasSubstr("blk.0.attn_q_norm.weight (64)"), HasSubstr("another one")));
}

TEST(BaseModel, RefusesAFileWithoutOneOfTheModelsTensors) {
  TinyGguf gguf = tiny_llama();
  gguf.drop_tensor("blk.0.ffn_up.weight");
  EXPECT_THAT(error_of_check(gguf),
              AllOf(HasSubstr("no tensor blk.0.ffn_up.weight"), HasSubstr("model.layers.0.mlp.up_proj.weight")));
}

TEST(BaseModel, RefusesATensorOfAnotherShape) {
  TinyGguf gguf = tiny_llama();
  gguf.tensor("blk.0.attn_v.weight") = {"blk.0.attn_v.weight", {16, kHidden}, std::vector<float>(16 * kHidden)};
  EXPECT_THAT(error_of_check(gguf), AllOf(HasSubstr("(16, 64)"), HasSubstr("(32, 64)")));
}

TEST(PackUnit, PacksEveryUnitOfAModel) {
  const Opened opened(tiny_llama());
  const ModelSpec model(opened.base.config(), rest_as({.codec = Codec::kNF4}, {.codec = Codec::kF32}), nullptr);
  for (std::size_t unit = 0; unit < model.units().size(); ++unit) {
    const UnitLayout layout(model.units()[unit]);
    std::vector<std::byte> flat(layout.frozen_bytes());
    pack_unit(opened.base, layout, flat);
    for (const PackedTensor& view : layout.views(flat.data(), nullptr, DType::kF32)) {
      const auto size = section_bytes(view.format, view.shape)[0];
      EXPECT_TRUE(
          std::any_of(view.sections[0], view.sections[0] + size, [](std::byte b) { return b != std::byte{0}; }));
    }
  }
}

}  // namespace
}  // namespace shardlora
