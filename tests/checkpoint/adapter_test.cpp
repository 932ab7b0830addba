#include "checkpoint/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/file.h"
#include "checkpoint/adapter_config.h"
#include "checkpoint/error_of.h"
#include "checkpoint/write_adapter.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/temporary_directory.h"
#include "io/write_safetensors.h"
#include "lora/lora_modules.h"

namespace shardlora {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// The adapter of scripts/goldens/adapter.py.
Adapter golden() {
  Adapter adapter;
  adapter.config = {.rank = 2, .alpha = 6, .target_modules = {"down_proj", "q_proj"}};
  adapter.config.dropout = 0.125;
  adapter.base_model_name = "tiny/llama";
  for (int layer = 0; layer < 2; ++layer) {
    const std::string name = fmt::format("model.layers.{}.", layer);
    adapter.tensors[name + "self_attn.q_proj.lora_A.weight"].shape = {2, 8};
    adapter.tensors[name + "self_attn.q_proj.lora_B.weight"].shape = {8, 2};
    adapter.tensors[name + "mlp.down_proj.lora_A.weight"].shape = {2, 12};
    adapter.tensors[name + "mlp.down_proj.lora_B.weight"].shape = {8, 2};
  }
  int t = 0;
  for (auto& [name, tensor] : adapter.tensors) {
    for (int i = 0; i < tensor.shape.numel(); ++i)
      tensor.values.push_back(static_cast<float>((37 * i + 11 * t) % 101 - 50) / 64);
    ++t;
  }
  return adapter;
}

std::vector<UnitSpec> units_of(const Adapter& adapter) {
  std::vector<UnitSpec> units = {{"model.layers.0", {{"model.layers.0.input_layernorm.weight", {8}, {}, false}}}};
  for (const auto& [name, tensor] : adapter.tensors) units[0].params.push_back({name, tensor.shape, {}, true});
  return units;
}

void expect_equal(const Adapter& a, const Adapter& b) {
  EXPECT_EQ(a.config.rank, b.config.rank);
  EXPECT_EQ(a.config.alpha, b.config.alpha);
  EXPECT_EQ(a.config.dropout, b.config.dropout);
  EXPECT_EQ(a.config.rslora, b.config.rslora);
  EXPECT_EQ(a.base_model_name, b.base_model_name);
  EXPECT_THAT(a.config.target_modules, testing::UnorderedElementsAreArray(b.config.target_modules));
  EXPECT_EQ(a.tensors, b.tensors);
}

// A saved adapter that a test spoils before it is read.
class SavedAdapter {
 public:
  explicit SavedAdapter(const Adapter& adapter = golden()) { write_adapter(directory_.path(), adapter); }
  std::filesystem::path path() const { return directory_.path(); }
  SavedAdapter& set(const std::string& key, const nlohmann::json& value) {
    auto config = nlohmann::ordered_json::parse(read_text(path() / "adapter_config.json", 1 << 20));
    config[key] = value;
    directory_.write("adapter_config.json", config.dump());
    return *this;
  }
  SavedAdapter& tensors(const std::map<std::string, AdapterTensor>& tensors,
                        const std::string& prefix = "base_model.model.") {
    std::vector<NamedTensor> named;
    for (const auto& [name, t] : tensors)
      named.push_back({prefix + name, {reinterpret_cast<const std::byte*>(t.values.data()), DType::kF32, t.shape}});
    write_safetensors(path() / "adapter_model.safetensors", named);
    return *this;
  }
  std::string error() const {
    return error_of([&] { read_adapter(path()); });
  }

 private:
  TemporaryDirectory directory_;
};

std::string error_with(const std::string& key, const nlohmann::json& value) {
  return SavedAdapter().set(key, value).error();
}

TEST(Adapter, ReadsWhatPeftSaved) {
  expect_equal(read_adapter(TEST_DATA "/checkpoint/adapter-f32"), golden());
  expect_equal(read_adapter(TEST_DATA "/checkpoint/adapter-bf16"), golden());
}

TEST(Adapter, ReadsBackWhatItWrote) {
  Adapter adapter = golden();
  adapter.config.alpha = 2.5;
  adapter.config.dropout = 0;
  adapter.base_model_name = "";
  const TemporaryDirectory directory;
  write_adapter(directory.path() / "made" / "on the way", adapter);
  expect_equal(read_adapter(directory.path() / "made" / "on the way"), adapter);
}

TEST(Adapter, WritesTheSameTensorBytesAsPeft) {
  const SavedAdapter ours;
  EXPECT_EQ(read_text(ours.path() / "adapter_model.safetensors", 1 << 20),
            read_text(TEST_DATA "/checkpoint/adapter-f32/adapter_model.safetensors", 1 << 20));
}

// Every key that we write has in PEFT's own file the value that we give it.
TEST(Adapter, WritesAConfigurationThatAgreesWithPefts) {
  const SavedAdapter saved;
  const std::string text = read_text(saved.path() / "adapter_config.json", 1 << 20);
  auto ours = nlohmann::json::parse(text);
  auto theirs = nlohmann::json::parse(read_text(TEST_DATA "/checkpoint/adapter-f32/adapter_config.json", 1 << 20));
  EXPECT_THAT(ours["target_modules"].get<std::vector<std::string>>(), ElementsAre("down_proj", "q_proj"));
  theirs["target_modules"] = ours["target_modules"];  // a set in PEFT, in any order
  EXPECT_EQ(ours.size(), 25U);
  for (const auto& [key, value] : ours.items()) EXPECT_EQ(value, theirs.value(key, nlohmann::json("absent"))) << key;
  EXPECT_THAT(text, AllOf(HasSubstr("{\n  \"alpha_pattern\": {},\n"), HasSubstr("\"lora_alpha\": 6,")));
}

TEST(Adapter, TakesItsTargetsFromTheTensorsWhereTheFileHasAllLinear) {
  SavedAdapter saved;
  EXPECT_THAT(read_adapter(saved.set("target_modules", "all-linear").path()).config.target_modules,
              ElementsAre("down_proj", "q_proj"));
}

TEST(Adapter, KeepsAPatternOfTargetsAsItIs) {
  SavedAdapter saved;
  const std::string pattern = R"(.*\.(q_proj|down_proj))";
  const Adapter read = read_adapter(saved.set("target_modules", pattern).path());
  EXPECT_EQ(read.config.target_pattern, pattern);
  const TemporaryDirectory again;
  write_adapter(again.path(), read);
  EXPECT_EQ(read_adapter(again.path()).config.target_pattern, pattern);
}

TEST(Adapter, KeepsPatternsInTheirOrderAndLayers) {
  Adapter adapter = golden();
  std::erase_if(adapter.tensors, [](const auto& entry) { return entry.first.find("layers.1") != std::string::npos; });
  for (auto& [name, tensor] : adapter.tensors)
    if (name.find("q_proj") != std::string::npos) tensor = {{8, 8}, std::vector<float>(64)};
  adapter.config.rank_pattern = {{"q_proj", 8}, {".*", 2}};
  adapter.config.alpha_pattern = {{"q_proj", 0.5}, {"down_proj", 3}};
  adapter.config.layers_to_transform = {0};
  adapter.config.layers_pattern = {"layers"};
  const SavedAdapter saved(adapter);
  const Adapter read = read_adapter(saved.path());
  expect_equal(read, adapter);
  EXPECT_EQ(read.config.rank_pattern, adapter.config.rank_pattern);
  EXPECT_EQ(read.config.alpha_pattern, adapter.config.alpha_pattern);
  EXPECT_THAT(read.config.layers_to_transform, ElementsAre(0));
  EXPECT_THAT(read.config.layers_pattern, ElementsAre("layers"));
  EXPECT_THAT(read_text(saved.path() / "adapter_config.json", 1 << 20), HasSubstr("\"down_proj\": 3\n"));
  // PEFT takes one layer and one word as well.
  SavedAdapter alone(adapter);
  const LoraConfig words =
      read_adapter(alone.set("layers_to_transform", 0).set("layers_pattern", "layers").path()).config;
  EXPECT_THAT(words.layers_to_transform, ElementsAre(0));
  EXPECT_THAT(words.layers_pattern, ElementsAre("layers"));
}

TEST(Adapter, RefusesPatternsAndLayersThatMakeNoSense) {
  EXPECT_THAT(error_with("rank_pattern", {{"q_proj", 0}}), HasSubstr("rank_pattern gives 0 to \"q_proj\""));
  EXPECT_THAT(error_with("rank_pattern", {{"q_proj", 2.5}}), HasSubstr("whole number"));
  EXPECT_THAT(error_with("rank_pattern", {{"(q_proj", 2}}), HasSubstr("\"(q_proj\" is no regular expression"));
  EXPECT_THAT(error_with("rank_pattern", {{"q_proj", 4}}), HasSubstr("has to be (4, in)"));
  EXPECT_THAT(error_with("alpha_pattern", {{"q_proj", "4"}}), HasSubstr("alpha_pattern gives \"4\""));
  EXPECT_THAT(error_with("layers_to_transform", {0, -1}), HasSubstr("layers_to_transform holds -1"));
  EXPECT_THAT(error_with("layers_pattern", "layers"), HasSubstr("layers_pattern without layers_to_transform"));
  EXPECT_THAT(SavedAdapter().set("target_modules", ".*_proj").set("layers_to_transform", {0}).error(),
              HasSubstr("layers_to_transform goes with a list"));
}

TEST(Adapter, TakesPeftsDefaultsWhereKeysAreMissing) {
  const TemporaryDirectory directory;
  Adapter adapter = golden();
  std::erase_if(adapter.tensors, [](const auto& entry) { return entry.first.find("layers.1") != std::string::npos; });
  for (auto& [name, tensor] : adapter.tensors) {
    const bool is_a = name.find("lora_A") != std::string::npos;
    tensor.shape = is_a ? Shape{8, 4} : Shape{4, 8};
    tensor.values.assign(32, 0.5F);
  }
  write_adapter(directory.path(), adapter);
  directory.write("adapter_config.json", R"({"target_modules": ["q_proj", "down_proj"]})");
  const Adapter read = read_adapter(directory.path());
  EXPECT_EQ(read.config.rank, 8);
  EXPECT_EQ(read.config.alpha, 8);
  EXPECT_EQ(read.config.dropout, 0);
}

TEST(Adapter, KeepsRankStabilisedScaling) {
  const TemporaryDirectory directory;
  Adapter adapter = golden();
  EXPECT_FALSE(parse_adapter_config(adapter_config_json(adapter), "c").config.rslora);
  adapter.config.rslora = true;
  write_adapter(directory.path(), adapter);
  const Adapter read = read_adapter(directory.path());
  EXPECT_TRUE(read.config.rslora);
  EXPECT_DOUBLE_EQ(LoraModules(read.config).scale("q_proj"), 6 / std::sqrt(2.0));
}

TEST(Adapter, RefusesWhatIsNotPlainLora) {
  EXPECT_THAT(error_with("use_dora", true),
              AllOf(HasSubstr("adapter_config.json"), HasSubstr("DoRA is not supported")));
  EXPECT_THAT(error_with("modules_to_save", {"lm_head", "score"}), HasSubstr("modules_to_save has score"));
  EXPECT_THAT(error_with("bias", "all"), HasSubstr("bias is \"all\""));
  EXPECT_THAT(error_with("lora_bias", true), HasSubstr("lora_bias"));
  EXPECT_THAT(error_with("fan_in_fan_out", true), HasSubstr("fan_in_fan_out"));
  EXPECT_THAT(error_with("exclude_modules", "o_proj"), HasSubstr("exclude_modules"));
  EXPECT_THAT(error_with("peft_type", "IA3"), HasSubstr("peft_type is \"IA3\""));
  EXPECT_EQ(error_with("modules_to_save", nlohmann::json::array()), "");
}

TEST(Adapter, RefusesSettingsThatMakeNoSense) {
  EXPECT_THAT(error_with("r", 0), HasSubstr("r is 0"));
  EXPECT_THAT(error_with("r", 2.5), HasSubstr("r is 2.5"));
  EXPECT_THAT(error_with("r", "two"), HasSubstr("r is \"two\""));
  EXPECT_THAT(error_with("lora_alpha", nullptr), HasSubstr("lora_alpha"));
  EXPECT_THAT(error_with("lora_dropout", 1.5), HasSubstr("lora_dropout is 1.5"));
  EXPECT_THAT(error_with("target_modules", nullptr), HasSubstr("target_modules"));
  EXPECT_THAT(error_with("target_modules", {"q_proj", 3}), HasSubstr("target_modules holds 3"));
}

TEST(Adapter, NamesTheTensorThatIsWrong) {
  EXPECT_THAT(error_with("r", 4), AllOf(HasSubstr("down_proj.lora_A.weight is (2, 12)"), HasSubstr("(4, in)")));

  auto tensors = golden().tensors;
  tensors.erase("model.layers.1.mlp.down_proj.lora_B.weight");
  EXPECT_THAT(SavedAdapter().tensors(tensors).error(), HasSubstr("not model.layers.1.mlp.down_proj.lora_B.weight"));

  tensors = golden().tensors;
  tensors["model.layers.1.mlp.down_proj.lora_B.weight"].values[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(SavedAdapter().tensors(tensors).error(), HasSubstr("model.layers.1.mlp.down_proj.lora_B.weight holds"));

  tensors = golden().tensors;
  tensors["model.layers.0.self_attn.q_proj.lora_magnitude_vector"] = {{8}, std::vector<float>(8)};
  EXPECT_THAT(SavedAdapter().tensors(tensors).error(), HasSubstr("lora_magnitude_vector is no part of plain LoRA"));

  EXPECT_THAT(SavedAdapter().tensors(golden().tensors, "").error(), HasSubstr("no part of plain LoRA"));
  EXPECT_THAT(SavedAdapter().tensors({}).error(), HasSubstr("holds no tensors"));
}

TEST(Adapter, SaysWhichFileIsMissingOrGarbled) {
  const TemporaryDirectory empty;
  const auto error_here = [&] { return error_of([&] { read_adapter(empty.path()); }); };
  EXPECT_THAT(error_here(), HasSubstr("has no adapter_config.json"));
  empty.write("adapter_config.json", R"({"target_modules": ["q_proj"], "r": 2)");
  EXPECT_THAT(error_here(), HasSubstr("adapter_config.json: byte"));
  empty.write("adapter_config.json", "[1]");
  EXPECT_THAT(error_here(), HasSubstr("not a JSON object"));
  empty.write("adapter_config.json", R"({"target_modules": ["q_proj"], "r": 2})");
  EXPECT_THAT(error_here(), HasSubstr("has no adapter_model.safetensors"));
  empty.write("adapter_model.bin", "pickle");
  EXPECT_THAT(error_here(), AllOf(HasSubstr("adapter_model.bin"), HasSubstr("safe_serialization=True")));
  empty.write("adapter_model.safetensors", "garbage");
  EXPECT_THAT(error_here(), HasSubstr("adapter_model.safetensors"));
}

TEST(Adapter, FitsTheModelThatHasItsParameters) {
  EXPECT_EQ(error_of([] { check_adapter(golden(), units_of(golden())); }), "");
}

TEST(Adapter, ListsWhatDoesNotFitTheModel) {
  std::vector<UnitSpec> units = units_of(golden());
  units[0].params.push_back({"model.layers.2.mlp.down_proj.lora_A.weight", {2, 12}, {}, true});
  units[0].params[1].shape = {2, 16};
  Adapter adapter = golden();
  adapter.tensors["model.layers.7.mlp.up_proj.lora_A.weight"] = {{2, 8}, std::vector<float>(16)};
  const std::string error = error_of([&] { check_adapter(adapter, units); });
  EXPECT_THAT(error, AllOf(HasSubstr("missing: model.layers.2.mlp.down_proj.lora_A.weight"),
                           HasSubstr("not of this model: model.layers.7.mlp.up_proj.lora_A.weight"),
                           HasSubstr("model.layers.0.mlp.down_proj.lora_A.weight is (2, 12) and has to be (2, 16)"),
                           HasSubstr("tiny/llama")));
  EXPECT_THAT(error, Not(HasSubstr("input_layernorm")));
  EXPECT_THAT(error_of([&] { check_adapter({}, units_of(golden())); }), HasSubstr("and 4 more"));
}

TEST(Adapter, SaysThatItCannotWrite) {
  const TemporaryDirectory directory;
  const auto file = directory.write("a file", "in the way");
  EXPECT_THAT(error_of([&] { write_adapter(file / "adapter", golden()); }),
              AllOf(HasSubstr("a file"), HasSubstr("output_dir")));
  EXPECT_EQ(read_text(file, 100), "in the way");
}

}  // namespace
}  // namespace shardlora
