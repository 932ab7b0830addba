// Weights in bitsandbytes' NF4: as bitsandbytes and transformers save them (scripts/goldens/nf4_folders.py), and every
// way in which they can be wrong.
#include "checkpoint/bitsandbytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "checkpoint/error_of.h"
#include "checkpoint/pack_unit.h"
#include "checkpoint/tiny_folder.h"
#include "quant/quantize.h"

namespace shardlora {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::filesystem::path kGoldens = TEST_DATA "/nf4";
constexpr const char* kState = ".quant_state.bitsandbytes__nf4";

std::vector<std::byte> stored(const SafetensorsFolder& files, const std::string& name) {
  const auto& [file, entry] = *files.find(name);
  std::vector<std::byte> bytes(entry->bytes);
  file->read_bytes(*entry, bytes);
  return bytes;
}

std::vector<std::byte> section(const BitsandbytesWeight& weight, int s) {
  std::vector<std::byte> bytes(section_bytes(weight.format(), weight.shape())[static_cast<std::size_t>(s)]);
  if (!bytes.empty()) weight.read_section(s, bytes, 0);
  return bytes;
}

std::vector<float> values_of(const BitsandbytesWeight& weight) {
  std::vector<float> values(static_cast<std::size_t>(weight.shape().numel()));
  weight.read_f32(values, 0);
  return values;
}

class SavedByBitsandbytes : public testing::TestWithParam<const char*> {
 protected:
  const SafetensorsFolder files_{kGoldens / GetParam()};
  const std::map<std::string, BitsandbytesWeight> weights_ = bitsandbytes_weights(files_);
  const nlohmann::json decoded_ = parse_json(read_text(kGoldens / "decoded.json", 1 << 20), "decoded.json")[GetParam()];
};
INSTANTIATE_TEST_SUITE_P(Folders, SavedByBitsandbytes, testing::Values("matrices", "llama"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(SavedByBitsandbytes, DecodesToTheBitsOfDequantize4bit) {
  ASSERT_EQ(weights_.size(), decoded_.size());
  for (const auto& [name, golden] : decoded_.items()) {
    const std::vector<float> values = values_of(weights_.at(name));
    std::vector<std::uint32_t> first;
    for (std::size_t i = 0; i < 8; ++i) first.push_back(std::bit_cast<std::uint32_t>(values[i]));
    EXPECT_EQ(first, golden["first"].get<std::vector<std::uint32_t>>()) << name;
    Sha256 digest;
    digest.add(std::as_bytes(std::span(values)));
    EXPECT_EQ(digest.hex(), golden["sha256"].get<std::string>()) << name;
  }
}

TEST_P(SavedByBitsandbytes, HasTheFormatAndTheBytesOfItsFile) {
  for (const auto& [name, weight] : weights_) {
    const nlohmann::json state = [&, &weight_name = name] {
      const std::vector<std::byte> text = stored(files_, weight_name + kState);
      return nlohmann::json::parse(std::string(reinterpret_cast<const char*>(text.data()), text.size()));
    }();
    const Format& format = weight.format();
    const std::map<std::string, DType> dtypes{
        {"bfloat16", DType::kBF16}, {"float16", DType::kF16}, {"float32", DType::kF32}};
    EXPECT_EQ(format, (Format{Codec::kNF4, state["blocksize"], state.contains("nested_offset"),
                              dtypes.at(state["dtype"].get<std::string>())}))
        << name;
    EXPECT_EQ(weight.shape(), (Shape{state["shape"][0], state["shape"][1]})) << name;
    EXPECT_EQ(section(weight, 0), stored(files_, name)) << name;
    EXPECT_EQ(section(weight, 1), stored(files_, name + ".absmax")) << name;
    if (!format.double_quant) continue;
    EXPECT_EQ(section(weight, 2), stored(files_, name + ".nested_absmax")) << name;
    const std::vector<std::byte> nested = section(weight, 3), map = stored(files_, name + ".nested_quant_map");
    EXPECT_EQ(reinterpret_cast<const Nf4Nested*>(nested.data())->offset, state["nested_offset"].get<float>()) << name;
    EXPECT_TRUE(std::equal(map.begin(), map.end(), nested.begin() + sizeof(float), nested.end())) << name;
  }
}

TEST_P(SavedByBitsandbytes, GivesAnyRunOfWholeBlocksAsPartOfTheWhole) {
  for (const auto& [name, weight] : weights_) {
    const std::vector<float> whole = values_of(weight);
    const std::int64_t block = weight.format().block, values = std::ssize(whole), blocks = (values + block - 1) / block;
    for (const std::int64_t first : {std::int64_t{0}, blocks / 2, blocks - 10, blocks - 1})
      for (const std::int64_t last : {first + 1, first + 3, blocks}) {
        const std::int64_t begin = first * block, end = std::min(last * block, values);
        if (begin < 0 || last > blocks) continue;
        std::vector<float> run(static_cast<std::size_t>(end - begin));
        weight.read_f32(run, begin);
        ASSERT_TRUE(std::equal(run.begin(), run.end(), whole.begin() + begin)) << name << " from block " << first;
      }
  }
}

TEST(Bitsandbytes, IsAModelWhosePackedBytesAreTakenOver) {
  const BaseModel base = BaseModel::open(kGoldens / "llama");
  const SafetensorsFolder files(kGoldens / "llama");
  const Format nf4{Codec::kNF4, 64, true, DType::kBF16}, bf16{.codec = Codec::kBF16};
  EXPECT_EQ(base.quantised_formats(), std::vector{nf4});
  const ModelSpec model(
      base.config(), [&](const std::string& name) { return base.stored_format(base.name_of(name)).value(); }, nullptr);
  base.check(model);
  const UnitLayout layout(model.units()[model.layer_unit(0)]);
  std::vector<std::byte> flat(layout.frozen_bytes());
  pack_unit(base, layout, flat);
  const std::vector<PackedTensor> views = layout.views(flat.data(), nullptr, DType::kF32);
  for (std::size_t p = 0; p < views.size(); ++p) {
    const ParamSpec& param = layout.spec().params[p];
    if (param.shape.rank() < 2) continue;
    const bool skipped = param.name.ends_with("k_proj.weight");  // llm_int8_skip_modules
    EXPECT_EQ(param.format, skipped ? bf16 : nf4) << param.name;
    const std::vector<std::byte> codes = stored(files, param.name);
    EXPECT_TRUE(std::equal(codes.begin(), codes.end(), views[p].sections[0])) << param.name;
    std::vector<float> read(static_cast<std::size_t>(param.shape.numel())), decoded(read.size());
    base.read({param.name}, param, read);
    dequantize(views[p], 0, decoded);
    EXPECT_EQ(decoded, read) << param.name;
  }
}

constexpr const char *kUp = "model.layers.0.mlp.up_proj.weight", *kDown = "model.layers.0.mlp.down_proj.weight";

// What spoils the packed parts of up_proj, whose state is the JSON text beside it.
struct Spoiled {
  explicit Spoiled(bool double_quant = true) {
    folder.pack(kUp, {Codec::kNF4, 64, double_quant, DType::kBF16});
    const std::vector<std::byte>& text = part(kState).bytes;
    state = nlohmann::json::parse(std::string(reinterpret_cast<const char*>(text.data()), text.size()));
  }
  HeldTensor& part(const std::string& suffix) { return folder.packed.at(kUp + suffix); }
  std::string error_with(const std::string& key, const nlohmann::json& value) {
    nlohmann::json changed = state;
    changed[key] = value;
    part(kState) = held_text(changed);
    return error();
  }
  std::string error_without(const std::string& suffix) {
    const HeldTensor kept = part(suffix);
    folder.packed.erase(kUp + suffix);
    std::string text = error();
    folder.packed[kUp + suffix] = kept;
    return text;
  }
  std::string error() {
    folder.write();
    return error_of([&] {
      const BaseModel base = BaseModel::open(folder.directory.path());
      base.check({base.config(), rest_as({.codec = Codec::kF32}, {.codec = Codec::kF32}), nullptr});
    });
  }
  TinyFolder folder;
  nlohmann::json state;
};

TEST(Bitsandbytes, IsReadWithPartsInSeveralFiles) {
  Spoiled whole;
  whole.folder.pack(kDown, {Codec::kNF4, 128, false, DType::kF16});
  whole.folder.cut();
  EXPECT_EQ(whole.error(), "");
  EXPECT_EQ(BaseModel::open(whole.folder.directory.path()).quantised_formats().size(), 2U);
}

TEST(Bitsandbytes, SaysWhatOtherFormatsItDoesNotRead) {
  Spoiled other;
  EXPECT_THAT(other.error_with("quant_type", "fp4"),
              AllOf(HasSubstr("model.safetensors"), HasSubstr(kUp), HasSubstr("quant_type is \"fp4\""),
                    HasSubstr("reads \"nf4\", take the unquantised model")));
  EXPECT_THAT(other.error_with("nested_blocksize", 128), HasSubstr("nested_blocksize is 128; this version reads 256"));
  EXPECT_THAT(other.error_with("nested_dtype", "float16"), HasSubstr("nested_dtype is \"float16\""));
  EXPECT_THAT(other.error_with("blocksize", 48), HasSubstr("blocksize is 48"));
  EXPECT_THAT(other.error_with("blocksize", "64"), HasSubstr("a power of two from 32 to 4096"));
  EXPECT_THAT(other.error_with("dtype", "float64"), HasSubstr("dtype is \"float64\""));
  EXPECT_THAT(other.error_with("nested_offset", nullptr), HasSubstr("nested_offset is null"));
  for (const nlohmann::json& shape : {nlohmann::json{64}, nlohmann::json{96, 0}, nlohmann::json{96, 1LL << 40}})
    EXPECT_THAT(other.error_with("shape", shape), HasSubstr("shape is ["));
  EXPECT_EQ(other.error_with("blocksize", 64), "");

  other.folder.packed[kUp + std::string(".quant_state.bitsandbytes__fp4")] = other.part(kState);
  EXPECT_THAT(other.error_without(kState),
              AllOf(HasSubstr(kUp), HasSubstr("bitsandbytes__fp4"), HasSubstr("reads NF4")));
}

TEST(Bitsandbytes, SaysWhichPartIsMissingOrOfAnotherSize) {
  Spoiled whole;
  for (const char* part : {"", ".absmax", ".quant_map", ".nested_quant_map"})
    EXPECT_THAT(whole.error_without(part),
                AllOf(HasSubstr("model.safetensors"), HasSubstr(fmt::format("no {}{};", kUp, part)),
                      HasSubstr("fetch the model again")))
        << part;
  EXPECT_THAT(whole.error_without(kState), HasSubstr("but no " + std::string(kUp) + kState));
  EXPECT_THAT(whole.error_without(".nested_absmax"), HasSubstr(".absmax is 96 bytes of U8"))
      << "without it there is no double quantisation, and absmax would be f32";
  EXPECT_THAT(whole.error_with("shape", {95, kHidden}),
              AllOf(HasSubstr("is 3072 bytes of U8"), HasSubstr("wants 3040 bytes")));
  EXPECT_THAT(whole.error_with("blocksize", 32), HasSubstr(".absmax is 96 bytes of U8"));

  Spoiled levels(false);
  std::swap(levels.part(".quant_map").bytes[5], levels.part(".quant_map").bytes[6]);
  EXPECT_THAT(levels.error(), AllOf(HasSubstr(std::string(kUp) + ".quant_map"), HasSubstr("other levels than NF4")));

  Spoiled alone;
  for (auto& [suffix, held] : packed_weight({Codec::kNF4, 64}, {1, 64}, std::vector<float>(64, 1.0F)))
    if (suffix == ".absmax") alone.folder.packed["model.norm.weight" + suffix] = held;
  EXPECT_THAT(alone.error(), HasSubstr("but no model.norm.weight.quant_state.bitsandbytes__nf4"));
}

TEST(Bitsandbytes, NeedsItsShapeToBeTheModels) {
  Spoiled other;
  EXPECT_THAT(other.error_with("shape", {kHidden, 96}), AllOf(HasSubstr(kUp), HasSubstr("is (64, 96), but")));
}

// As transformers 5 loads a folder whose head is packed though tie_word_embeddings is true: the head is its own.
TEST(Bitsandbytes, KeepsAPackedHeadThatTheConfigurationCallsTied) {
  for (const DType viewed : {DType::kU8, DType::kBF16}) {
    TinyFolder folder;
    // Zeros have codes that are the embedding's values where they are taken for BF16.
    folder.tensors["lm_head.weight"] = {{kVocab, kHidden}, std::vector<float>(kVocab * kHidden)};
    folder.tensors["model.embed_tokens.weight"].values.assign(kVocab * kHidden, to_float(BF16{0x7777}));
    folder.pack("lm_head.weight", {Codec::kNF4, 64, false, DType::kBF16});
    HeldTensor& codes = folder.packed.at("lm_head.weight");
    codes.dtype = viewed;
    codes.shape = {std::ssize(codes.bytes) / (viewed == DType::kU8 ? 1 : 2), 1};
    folder.write();
    testing::internal::CaptureStdout();
    const BaseModel base = BaseModel::open(folder.directory.path());
    EXPECT_THAT(testing::internal::GetCapturedStdout(),
                HasSubstr("lm_head.weight differs from model.embed_tokens.weight; it is used as a head of its own"));
    EXPECT_FALSE(base.config().tied_embeddings);
    const Format f32{.codec = Codec::kF32};
    const ModelSpec model(base.config(), rest_as(f32, f32), nullptr);
    base.check(model);
    const ParamSpec& head = model.units()[model.head_unit()].params[0];
    EXPECT_EQ(head.name, "lm_head.weight");
    EXPECT_EQ(base.stored_format(base.name_of(head.name)), (Format{Codec::kNF4, 64, false, DType::kBF16}));
    folder.add("model.embed_tokens.weight", {kVocab + 1, kHidden});
    folder.write();
    EXPECT_THAT(error_of([&] { BaseModel::open(folder.directory.path()); }),
                HasSubstr("lm_head.weight is (10, 64), but model.embed_tokens.weight is (11, 64)"));
  }
}

TEST(Bitsandbytes, ReadsCodesUnderAnotherDtype) {
  Spoiled viewed;
  viewed.part("").dtype = DType::kBF16;
  viewed.part("").shape = {96 * kHidden / 4, 1};
  EXPECT_EQ(viewed.error(), "");
}

}  // namespace
}  // namespace shardlora
