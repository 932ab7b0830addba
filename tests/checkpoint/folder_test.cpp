// Hugging Face folders: what is read of them, and every way in which they can be wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <functional>

#include "checkpoint/error_of.h"
#include "checkpoint/tied_head.h"
#include "checkpoint/tiny_folder.h"

namespace shardlora {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Of opening the folder and building its model, as every verb does.
std::string error_of_folder(const TinyFolder& folder) {
  return error_of([&] {
    const BaseModel base = BaseModel::open(folder.directory.path());
    const Format f32{.codec = Codec::kF32};
    base.check({base.config(), rest_as(f32, f32), nullptr});
  });
}

std::string error_after(const std::function<void(TinyFolder&)>& spoil) {
  TinyFolder folder;
  spoil(folder);
  folder.write();
  return error_of_folder(folder);
}

std::string error_with(const std::string& key, const nlohmann::json& value) {
  return error_after([&](TinyFolder& folder) { folder.config[key] = value; });
}

ModelConfig config_with(const nlohmann::json& keys) {
  TinyFolder folder;
  folder.config.update(keys);
  folder.write();
  return BaseModel::open(folder.directory.path()).config();
}

TEST(Folder, GivesItsNumbersAndValues) {
  TinyFolder folder;
  folder.write();
  const BaseModel base = BaseModel::open(folder.directory.path());
  const ModelConfig& c = base.config();
  EXPECT_EQ(c.architecture, "llama");
  EXPECT_EQ(c.vocab, kVocab);
  EXPECT_EQ(c.head_dim, kHeadDim);
  EXPECT_EQ(c.rope.theta, 5000.0);
  EXPECT_EQ(c.norm_eps, 1e-6);
  EXPECT_TRUE(c.tied_embeddings);
  EXPECT_EQ(error_of_folder(folder), "");

  const ParamSpec param{"model.layers.0.mlp.up_proj.weight", {96, kHidden}, {.codec = Codec::kF32}};
  EXPECT_EQ(base.row_grain({param.name}, param), 1);
  std::vector<float> rows(2 * kHidden);
  base.read_rows({param.name}, param, 5, rows);
  const std::vector<float>& all = folder.tensors[param.name].values;
  EXPECT_TRUE(std::equal(rows.begin(), rows.end(), all.begin() + 5 * kHidden));
}

TEST(Folder, ReadsTheSameFromShards) {
  TinyFolder folder;
  folder.cut();
  folder.write();
  EXPECT_EQ(error_of_folder(folder), "");
  const BaseModel base = BaseModel::open(folder.directory.path());
  for (const auto& [name, tensor] : folder.tensors) {
    std::vector<float> values(tensor.values.size());
    base.read({name}, {name, tensor.shape, {.codec = Codec::kF32}}, values);
    EXPECT_EQ(values, tensor.values) << name;
  }
}

TEST(Folder, HasAHashThatEveryFileOfTheModelChanges) {
  TinyFolder folder;
  folder.cut();
  folder.write();
  const auto hash = [&] { return BaseModel::open(folder.directory.path()).sha256(); };
  const std::string before = hash();
  EXPECT_EQ(before.size(), 64U);
  folder.directory.write("README.md", "not the model");
  EXPECT_EQ(hash(), before);
  folder.tensors["model.norm.weight"].values[0] += 1;
  folder.write();
  const std::string other_weight = hash();
  EXPECT_NE(other_weight, before);
  folder.config["rms_norm_eps"] = 1e-5;
  folder.write();
  EXPECT_NE(hash(), other_weight);
}

TEST(Folder, ReadsBothSpellingsOfRotaryScaling) {
  const ModelConfig four = config_with({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}});
  EXPECT_EQ(four.rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(four.rope.theta, 5000.0);
  const ModelConfig five = config_with(
      {{"rope_theta", nullptr}, {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2}, {"rope_theta", 7000}}}});
  EXPECT_EQ(five.rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(five.rope.theta, 7000.0);
  EXPECT_EQ(config_with({{"rope_scaling", nullptr}}).rope.scaling, RopeScaling::kNone);
  const ModelConfig both = config_with(
      {{"rope_scaling", nlohmann::json::object()}, {"rope_parameters", {{"rope_type", "linear"}, {"factor", 2}}}});
  EXPECT_EQ(both.rope.scaling, RopeScaling::kLinear);
}

TEST(Folder, KnowsWhereASlidingWindowHolds) {
  EXPECT_EQ(config_with({{"sliding_window", 64}}).sliding_window, 0);  // Llama has none
  const nlohmann::json mistral = {{"architectures", {"MistralForCausalLM"}}, {"sliding_window", 64}};
  EXPECT_EQ(config_with(mistral).sliding_window, 64);
  EXPECT_EQ(config_with({{"architectures", {"MistralForCausalLM"}}}).sliding_window, 4096);
  EXPECT_EQ(config_with({{"architectures", {"MistralForCausalLM"}}, {"sliding_window", nullptr}}).sliding_window, 0);
  nlohmann::json qwen = {{"architectures", {"Qwen3ForCausalLM"}}, {"sliding_window", 64}};
  EXPECT_EQ(config_with(qwen).sliding_window, 0);
  qwen["use_sliding_window"] = true;
  EXPECT_EQ(config_with(qwen).sliding_window, 0) << "layers slide from max_window_layers on, 28 where it is not said";
  // As transformers makes layer_types of it.
  const auto window_with = [&](const nlohmann::json& keys) {
    nlohmann::json all = qwen;
    all.update(keys);
    return config_with(all).sliding_window;
  };
  EXPECT_EQ(window_with({{"max_window_layers", 1}}), 0);
  EXPECT_EQ(window_with({{"max_window_layers", 36}}), 0);
  EXPECT_EQ(window_with({{"max_window_layers", 0}}), 64);
  EXPECT_EQ(window_with({{"max_window_layers", 0}, {"use_sliding_window", nullptr}}), 0);
  EXPECT_EQ(window_with({{"max_window_layers", 0}, {"sliding_window", nullptr}}), 0);
  EXPECT_EQ(window_with({{"max_window_layers", 0}, {"layer_types", {"full_attention"}}}), 0);
  EXPECT_EQ(window_with({{"max_window_layers", 1}, {"layer_types", {"sliding_attention"}}}), 64);
  qwen.erase("sliding_window");
  EXPECT_EQ(window_with({{"max_window_layers", 0}}), 4096);
  EXPECT_THAT(error_of([&] { window_with({{"layer_types", {"linear_attention"}}}); }),
              HasSubstr("layer_types: a layer of \"linear_attention\" is not supported yet"));
  EXPECT_THAT(error_of([&] { window_with({{"max_window_layers", -1}}); }),
              HasSubstr("max_window_layers is -1; it has to be a whole number"));
  EXPECT_EQ(
      config_with({{"sliding_window", 64}, {"use_sliding_window", true}, {"max_window_layers", 0}}).sliding_window, 0);

  EXPECT_EQ(error_of([&] { check_window(config_with(mistral), 64, "sequence_len"); }), "");
  EXPECT_THAT(error_of([&] { check_window(config_with(mistral), 65, "sequence_len"); }),
              AllOf(HasSubstr("sequence_len is 65"), HasSubstr("last 64 tokens"), HasSubstr("64 or less")));
}

TEST(Folder, TiesTheHeadWhereTheConfigurationSaysOrTheFileHasNone) {
  TinyFolder folder;
  folder.tensors["lm_head.weight"] = folder.tensors["model.embed_tokens.weight"];  // a redundant copy
  folder.write();
  EXPECT_EQ(error_of_folder(folder), "");
  EXPECT_TRUE(BaseModel::open(folder.directory.path()).config().tied_embeddings);
  folder.config.erase("tie_word_embeddings");
  folder.write();
  EXPECT_FALSE(BaseModel::open(folder.directory.path()).config().tied_embeddings);
  EXPECT_EQ(error_of_folder(folder), "");
  EXPECT_THAT(error_with("tie_word_embeddings", false), HasSubstr("has no tensor lm_head.weight (10, 64)"));
}

// Whatever tie_word_embeddings says, as transformers 5 has it: both are used where they differ, the one that is there
// where the other is not.
TEST(Folder, KeepsAHeadThatIsNotTheEmbedding) {
  TinyFolder folder;
  folder.tensors["lm_head.weight"] = folder.tensors["model.embed_tokens.weight"];
  folder.tensors["lm_head.weight"].values.back() += 1;
  folder.write();
  testing::internal::CaptureStdout();
  EXPECT_FALSE(BaseModel::open(folder.directory.path()).config().tied_embeddings);
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              HasSubstr("lm_head.weight differs from model.embed_tokens.weight"));
  EXPECT_EQ(error_of_folder(folder), "");
  folder.add("lm_head.weight", {kVocab + 1, kHidden});
  folder.write();
  EXPECT_THAT(error_of_folder(folder),
              AllOf(HasSubstr("lm_head.weight is (11, 64), but model.embed_tokens.weight is (10, 64)"),
                    HasSubstr("tie_word_embeddings")));

  folder.tensors["lm_head.weight"] = folder.tensors["model.embed_tokens.weight"];
  folder.tensors.erase("model.embed_tokens.weight");
  folder.write();
  EXPECT_EQ(error_of_folder(folder), "");
  const BaseModel base = BaseModel::open(folder.directory.path());
  const Format f32{.codec = Codec::kF32};
  const ModelSpec model(base.config(), rest_as(f32, f32), nullptr);
  const ParamSpec& table = model.units()[model.head_unit()].params[0];
  EXPECT_EQ(table.name, "model.embed_tokens.weight");
  std::vector<float> values(folder.tensors["lm_head.weight"].values.size());
  base.read(base.name_of(table.name), table, values);
  EXPECT_EQ(values, folder.tensors["lm_head.weight"].values);
  folder.tensors.erase("lm_head.weight");
  folder.write();
  EXPECT_THAT(error_of_folder(folder), HasSubstr("has no tensor model.embed_tokens.weight (10, 64)"));
}

TEST(Folder, PassesOverTensorsThatHoldNothing) {
  EXPECT_EQ(error_after([](TinyFolder& f) { f.add("model.rotary.cache", {0}); }), "");
  EXPECT_EQ(error_after([](TinyFolder& f) { f.add("model.layers.0.self_attn.q_proj.bias", {0, 4}); }), "");
  EXPECT_THAT(error_after([](TinyFolder& f) { f.add("model.norm.weight", {0}); }),
              HasSubstr("model.norm.weight is (0)"));
}

TEST(Folder, IgnoresTablesOfRotaryFrequencies) {
  for (const char* name : {"model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq",
                           "model.layers.0.self_attn.rotary_emb.cos_cached"})
    EXPECT_EQ(error_after([&](TinyFolder& f) { f.add(name, {8}); }), "") << name;
}

TEST(Folder, IsRefusedForWhatCannotBeComputed) {
  EXPECT_THAT(error_with("architectures", {"GemmaForCausalLM"}),
              AllOf(HasSubstr("unknown architecture \"GemmaForCausalLM\""), HasSubstr("Qwen3ForCausalLM")));
  EXPECT_THAT(error_with("quantization_config", {{"quant_method", "gptq"}, {"bits", 4}}),
              AllOf(HasSubstr("config.json: the weights are quantised already (gptq)"), HasSubstr("not supported yet"),
                    HasSubstr("bitsandbytes' NF4")));
  EXPECT_THAT(error_with("quantization_config", {{"quant_method", "bitsandbytes"}, {"load_in_8bit", true}}),
              HasSubstr("quantised already (bitsandbytes, load_in_8bit)"));
  EXPECT_THAT(error_with("hidden_act", "gelu"), HasSubstr("the activation \"gelu\" is not supported yet"));
  EXPECT_THAT(error_with("rope_scaling", {{"type", "dynamic"}, {"factor", 2}}),
              HasSubstr("rope_scaling: the rotary scaling \"dynamic\""));
  EXPECT_THAT(error_with("rope_parameters", {{"rope_type", "longrope"}, {"factor", 2}}), HasSubstr("\"longrope\""));
  EXPECT_THAT(error_with("rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}),
              HasSubstr("per kind of layer"));
  EXPECT_THAT(error_with("partial_rotary_factor", 0.5), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(error_with("num_experts", 8), HasSubstr("mixture of experts"));
  EXPECT_THAT(error_with("head_dim", 12), HasSubstr("heads of 12 values are not supported"));
}

TEST(Folder, IsRefusedForAGarbledConfiguration) {
  EXPECT_THAT(error_with("hidden_size", nullptr), HasSubstr("config.json: has no key hidden_size"));
  EXPECT_THAT(error_with("hidden_size", "64"), HasSubstr("hidden_size is \"64\"; it has to be a whole number"));
  EXPECT_THAT(error_with("hidden_size", -64), HasSubstr("hidden_size is -64"));
  EXPECT_THAT(error_with("num_hidden_layers", 16000000), HasSubstr("16000000 layers, but only 11 tensors"));
  EXPECT_THAT(error_with("vocab_size", 1LL << 40), HasSubstr("vocab_size is 1099511627776"));
  EXPECT_THAT(error_with("num_key_value_heads", 3), HasSubstr("4 attention heads cannot share 3 key heads"));
  EXPECT_THAT(error_with("rms_norm_eps", 0), HasSubstr("rms_norm_eps is 0; it has to be a number above 0"));
  EXPECT_THAT(error_with("rope_scaling", {{"type", "linear"}}), HasSubstr("rope_scaling: has no key factor"));
  EXPECT_THAT(error_with("rope_scaling", 4), HasSubstr("rope_scaling is 4; it has to be an object"));
  TinyFolder folder;
  folder.write();
  folder.directory.write("config.json", "{\"architectures\": [");
  EXPECT_THAT(error_of_folder(folder), HasSubstr("config.json: byte"));
}

TEST(Folder, IsRefusedWhereTensorsDoNotFitTheConfiguration) {
  EXPECT_THAT(error_with("vocab_size", 11),
              AllOf(HasSubstr("model.embed_tokens.weight is (10, 64)"), HasSubstr("(11, 64)")));
  EXPECT_THAT(error_with("head_dim", 32), AllOf(HasSubstr("q_proj.weight is (64, 64)"), HasSubstr("(128, 64)")));
  EXPECT_THAT(error_after([](TinyFolder& f) { f.tensors.erase("model.layers.0.mlp.up_proj.weight"); }),
              HasSubstr("has no tensor model.layers.0.mlp.up_proj.weight (96, 64); the model is incomplete"));
  EXPECT_THAT(error_after([](TinyFolder& f) { f.add("model.layers.0.self_attn.q_proj.bias", {kHidden}); }),
              AllOf(HasSubstr("q_proj.bias (64) has no place"), HasSubstr("another one")));
  EXPECT_THAT(error_with("attention_bias", true), HasSubstr("has no tensor model.layers.0.self_attn.q_proj.bias"));
}

// A header that says U8, as bitsandbytes' packed weights have.
TEST(Folder, IsRefusedForTypesThatAreNoFloats) {
  TinyFolder folder;
  folder.write();
  const std::filesystem::path file = folder.directory.path() / "model.safetensors";
  std::string bytes = read_text(file, 1 << 20);
  const std::size_t at = bytes.find("\"F32\"");
  bytes.replace(at, 5, "\"I32\"");
  folder.directory.write("model.safetensors", bytes);
  EXPECT_THAT(error_of_folder(folder), AllOf(HasSubstr(" is I32;"), HasSubstr("F32, F16, BF16 and bitsandbytes' NF4")));
}

// Of head and embedding every value is compared, however many there are, and what can't be compared is no copy.
TEST(Folder, ComparesAllOfAHeadWithTheEmbedding) {
  TinyFolder folder;
  folder.add("model.embed_tokens.weight", {(1 << 15) + 1, kHidden});
  folder.tensors["lm_head.weight"] = folder.tensors["model.embed_tokens.weight"];
  folder.write();
  const auto tied = [&] { return head_is_tied(SafetensorsFolder(folder.directory.path()), {}, "config.json"); };
  EXPECT_TRUE(tied());
  folder.tensors["lm_head.weight"].values.back() += 1;
  folder.write();
  EXPECT_FALSE(tied());

  TinyFolder integers;
  integers.tensors["lm_head.weight"] = integers.tensors["model.embed_tokens.weight"];
  integers.write();
  std::string bytes = read_text(integers.directory.path() / "model.safetensors", 1 << 20);
  bytes.replace(bytes.find("\"F32\"", bytes.find("lm_head.weight")), 5, "\"I32\"");
  integers.directory.write("model.safetensors", bytes);
  EXPECT_THAT(error_of_folder(integers), AllOf(HasSubstr("lm_head.weight"), HasSubstr(" is I32;")));
}

TEST(Folder, IsRefusedForATruncatedFile) {
  TinyFolder folder;
  folder.write();
  const std::filesystem::path file = folder.directory.path() / "model.safetensors";
  for (const std::uintmax_t size : {0U, 7U, 100U, 5000U}) {
    folder.write();
    std::filesystem::resize_file(file, size);
    EXPECT_THAT(error_of_folder(folder), AllOf(HasSubstr("model.safetensors"), HasSubstr("damaged"))) << size;
  }
}

TEST(Folder, IsRefusedForAnIndexThatLeadsElsewhere) {
  for (const char* file : {"../model.safetensors", "/etc/model.safetensors", "sub/model.safetensors", "..", "",
                           "a\\b.safetensors", "model.bin"}) {
    TinyFolder folder;
    folder.directory.write("config.json", folder.config.dump());
    const nlohmann::json index = {{"weight_map", {{"model.norm.weight", file}}}};
    folder.directory.write("model.safetensors.index.json", index.dump());
    EXPECT_THAT(error_of_folder(folder), HasSubstr("not to be trusted")) << file;
  }
}

TEST(Folder, IsRefusedForAGarbledIndexOrMissingShards) {
  TinyFolder folder;
  folder.cut();
  folder.write();
  std::filesystem::remove(folder.directory.path() / "model-00002-of-00002.safetensors");
  EXPECT_THAT(error_of_folder(folder), HasSubstr("model-00002-of-00002.safetensors is missing"));

  folder.write();
  folder.shards["model.norm.weight"] = "model-00001-of-00002.safetensors";
  nlohmann::json index = {{"weight_map", folder.shards}};
  index["weight_map"]["model.embed_tokens.weight"] = "model-00002-of-00002.safetensors";
  folder.directory.write("model.safetensors.index.json", index.dump());
  EXPECT_THAT(error_of_folder(folder), HasSubstr("promises there"));

  folder.write();
  folder.shards.erase("model.norm.weight");
  folder.directory.write("model.safetensors.index.json", nlohmann::json{{"weight_map", folder.shards}}.dump());
  EXPECT_EQ(error_of_folder(folder), "") << "a tensor is there although the index forgets it";

  for (const char* text : {"{}", "[]", "{\"weight_map\": {}}", "{\"weight_map\": {\"a\": 1}}", "{\"weight_map\""}) {
    folder.directory.write("model.safetensors.index.json", text);
    EXPECT_THAT(error_of_folder(folder), HasSubstr("model.safetensors.index.json")) << text;
  }
}

TEST(Folder, SaysWhatToDoWithOtherKindsOfModels) {
  TinyFolder folder;
  folder.directory.write("config.json", folder.config.dump());
  EXPECT_THAT(error_of_folder(folder), HasSubstr("has neither model.safetensors nor model.safetensors.index.json"));
  folder.directory.write("pytorch_model.bin", "");
  EXPECT_THAT(error_of_folder(folder), AllOf(HasSubstr("pytorch_model.bin"), HasSubstr("save_pretrained")));
  folder.write();
  std::filesystem::remove(folder.directory.path() / "config.json");
  EXPECT_THAT(error_of_folder(folder), HasSubstr("config.json: is missing"));
  std::filesystem::remove(folder.directory.path() / "model.safetensors");
  folder.directory.write("model.Q4_K_M.gguf", "");
  EXPECT_THAT(error_of_folder(folder), HasSubstr("give its path"));
}

// A link to a store of blobs is how Hugging Face's own cache looks.
TEST(Folder, FollowsLinksOfTheUser) {
  TinyFolder folder;
  folder.write();
  const TemporaryDirectory blobs;
  std::filesystem::rename(folder.directory.path() / "model.safetensors", blobs.path() / "blob");
  std::filesystem::create_symlink(blobs.path() / "blob", folder.directory.path() / "model.safetensors");
  EXPECT_EQ(error_of_folder(folder), "");
}

}  // namespace
}  // namespace shardlora
