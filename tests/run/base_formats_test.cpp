#include "run/base_formats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "checkpoint/tiny_folder.h"
#include "checkpoint/tiny_llama.h"
#include "quant/random_blocks.h"

namespace shardlora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr const char *kEmbedding = "model.embed_tokens.weight", *kUp = "model.layers.0.mlp.up_proj.weight",
                     *kDown = "model.layers.0.mlp.down_proj.weight";

// The linears of a layer in Q4_1, but for one in Q8_0 and one left as it was.
TinyGguf quantised_llama() {
  TinyGguf gguf = tiny_llama();
  for (TinyGguf::Entry& entry : gguf.tensors) {
    if (entry.shape.rank() < 2 || entry.name == "token_embd.weight" || entry.name == "blk.0.attn_v.weight") continue;
    const bool eight = entry.name == "blk.0.ffn_up.weight";
    entry.values.clear();
    entry.blocks = random_blocks({.codec = eight ? Codec::kQ8_0 : Codec::kQ4_1}, entry.shape.numel(), 1);
    entry.block_type = eight ? 8 : 3;
  }
  return gguf;
}

TEST(BaseFormats, KeepTheBlocksOfAQuantisedFileWhereNothingElseIsAskedForByName) {
  const Opened opened(quantised_llama());
  for (const Quantization& asked : {Quantization{.format = "nf4"}, Quantization{}, Quantization{.format = "gguf"}}) {
    const Quantization to = settled(asked, opened.base);
    EXPECT_EQ(to.format, "gguf");
    EXPECT_TRUE(to.by_name);
    const FormatOf format = format_of(to, opened.base, DType::kBF16);
    EXPECT_EQ(format(kUp).codec, Codec::kQ8_0);
    EXPECT_EQ(format(kDown).codec, Codec::kQ4_1);
    EXPECT_EQ(format("model.layers.0.self_attn.v_proj.weight").codec, Codec::kBF16);
    EXPECT_EQ(format(kEmbedding).codec, Codec::kBF16);
    EXPECT_EQ(formats_text({opened.base.config(), format, nullptr}),
              "1 layers in Q4_1, bf16, Q8_0, embedding and head in bf16");
  }
}

TEST(BaseFormats, QuantiseASecondTimeOnlyByNameAndSaySo) {
  const Opened opened(quantised_llama());
  testing::internal::CaptureStdout();
  const Quantization to = settled({.format = "nf4", .by_name = true, .group_size = 128}, opened.base);
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              AllOf(HasSubstr("is quantised already (Q4_1, Q8_0)"), HasSubstr("nf4 rounds its weights a second time")));
  EXPECT_EQ(to.format, "nf4");
  const FormatOf format = format_of(to, opened.base, DType::kF16);
  EXPECT_EQ(format(kUp), (Format{Codec::kNF4, 128, true}));
  EXPECT_EQ(format(kEmbedding).codec, Codec::kF16);
}

TEST(BaseFormats, DecodeAQuantisedFileWhereADtypeIsAskedForByName) {
  const Opened opened(quantised_llama());
  testing::internal::CaptureStdout();
  const FormatOf none = format_of(settled({.by_name = true}, opened.base), opened.base, DType::kBF16);
  const FormatOf f32 = format_of(settled({.format = "f32", .by_name = true}, opened.base), opened.base, DType::kBF16);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(none(kUp).codec, Codec::kBF16);
  EXPECT_EQ(f32(kUp).codec, Codec::kF32);
  EXPECT_EQ(f32(kEmbedding).codec, Codec::kF32);
}

// A linear of it is in NF4, another one was left out.
struct PackedFolder : TinyFolder {
  explicit PackedFolder(const Format& format) {
    pack(kUp, format);
    pack("model.layers.0.self_attn.q_proj.weight", format);
    write();
  }
  BaseModel base() const { return BaseModel::open(directory.path()); }
};

TEST(BaseFormats, KeepTheNf4OfBitsandbytesAndCallItByItsName) {
  const Format nf4{Codec::kNF4, 128, false, DType::kBF16};
  const PackedFolder folder(nf4);
  const BaseModel base = folder.base();
  testing::internal::CaptureStdout();
  for (const Quantization& asked :
       {Quantization{.format = "nf4"}, Quantization{},
        Quantization{.format = "nf4", .by_name = true, .group_size = 128, .double_quant = false}}) {
    const Quantization to = settled(asked, base);
    EXPECT_EQ(to, (Quantization{.format = "nf4", .by_name = true, .group_size = 128, .double_quant = false}));
    EXPECT_EQ(settled(to, base), to) << "as when an adapter says what it was trained on";
    const FormatOf format = format_of(to, base, DType::kF16);
    EXPECT_EQ(format(kUp), nf4);
    EXPECT_EQ(format(kDown).codec, Codec::kF16) << "it was left out, so it is not quantised";
    EXPECT_EQ(format(kEmbedding).codec, Codec::kF16);
  }
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST(BaseFormats, QuantiseTheNf4OfBitsandbytesAgainWhereOtherNumbersAreNamed) {
  const PackedFolder folder({Codec::kNF4, 64, true, DType::kBF16});
  const BaseModel base = folder.base();
  testing::internal::CaptureStdout();
  const Quantization to = settled({.format = "nf4", .by_name = true, .group_size = 128}, base);
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              HasSubstr("is quantised already (nf4 (block 64, double quantisation, rounded to bf16))"));
  EXPECT_EQ(format_of(to, base, DType::kF16)(kUp), (Format{Codec::kNF4, 128, true}));
  EXPECT_EQ(format_of(to, base, DType::kF16)(kDown), (Format{Codec::kNF4, 128, true}));
  EXPECT_EQ(format_of(settled({.by_name = true}, base), base, DType::kF16)(kUp).codec, Codec::kF16);
  EXPECT_THAT([&] { settled({.format = "gguf", .by_name = true}, base); },
              ThrowsMessage<Error>(AllOf(HasSubstr("is quantised to nf4"), HasSubstr("leave it out"))));
}

TEST(BaseFormats, AreTheRecipesWhereTheFileIsNotQuantised) {
  const Opened opened(tiny_llama());
  EXPECT_EQ(settled({}, opened.base).format, "none");
  EXPECT_EQ(settled({.format = "nf4"}, opened.base).format, "nf4");
  EXPECT_THAT([&] { settled({.format = "gguf", .by_name = true}, opened.base); },
              ThrowsMessage<Error>(HasSubstr("tiny.gguf: has no quantised blocks")));
}

TEST(BaseFormats, GiveModulesTheBlocksOfTheFileOnlyWhereItHasThem) {
  const Quantization asked{.format = "bf16", .by_name = true, .overrides = {{"down_proj", "gguf"}}};
  const Opened quantised(quantised_llama());
  EXPECT_EQ(format_of(settled(asked, quantised.base), quantised.base, {})(kDown).codec, Codec::kQ4_1);
  const Opened dense(tiny_llama());
  EXPECT_THAT([&] { settled(asked, dense.base); },
              ThrowsMessage<Error>(AllOf(HasSubstr("has no quantised blocks, and quantization.overrides: down_proj: "
                                                   "gguf asks for"),
                                         HasSubstr("leave it out"))));
  const PackedFolder packed({Codec::kNF4, 64, true, DType::kBF16});
  EXPECT_THAT([&] { settled(asked, packed.base()); }, ThrowsMessage<Error>(HasSubstr("is quantised to nf4")));
}

TEST(BaseFormats, GiveModulesFormatsOfTheirOwn) {
  const Opened opened(tiny_llama());
  const Quantization to = settled({.format = "nf4",
                                   .overrides = {{"layers.0.mlp.down_proj", "f16"},
                                                 {"(q|down)_proj", "f32"},
                                                 {"embed_tokens", "nf4"},
                                                 {"o_proj", "none"}}},
                                  opened.base);
  const FormatOf format = format_of(to, opened.base, DType::kBF16);
  EXPECT_EQ(format(kDown).codec, Codec::kF16);  // the first rule that fits
  EXPECT_EQ(format("model.layers.0.self_attn.q_proj.weight").codec, Codec::kF32);
  EXPECT_EQ(format("model.layers.0.self_attn.o_proj.weight").codec, Codec::kBF16);
  EXPECT_EQ(format(kUp).codec, Codec::kNF4);
  EXPECT_EQ(format(kEmbedding), (Format{Codec::kNF4, 64, true}));
  const ModelSpec model(opened.base.config(), format, nullptr);
  check_overrides(to, model);
  EXPECT_THAT([&] { check_overrides({.overrides = {{"down", "f32"}}}, model); },
              ThrowsMessage<Error>(HasSubstr("\"down\" is the end of no module's name; modules are "
                                             "model.layers.0.self_attn.q_proj")));
}

}  // namespace
}  // namespace shardlora
