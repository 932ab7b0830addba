// Adapters whose modules differ (rank_pattern, alpha_pattern, layers_to_transform, targets by a regular expression):
// against PEFT (scripts/goldens/patterns.py), and the same bits however the work is laid out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/write_adapter.h"
#include "golden_comparison.h"
#include "io/temporary_directory.h"

namespace shardlora {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const char* const kNames[] = {"patterns", "regex"};

GoldenJob job_of(const std::string& name, int ranks = 1) {
  return {.adapter = golden_path("adapter-" + name), .ranks = ranks};
}

Differences differences(const std::string& name, const GoldenJob& job) {
  Golden golden(read_golden_tensors(golden_path(name + ".safetensors")));
  golden.training = golden.step;
  golden.training["loss"] = golden.training.at("losses");
  return differences(job, golden);
}

TEST(AdapterPatterns, TrainAsPeftTrainsThem) {
  for (const std::string name : kNames)
    for (const int ranks : {1, 2}) EXPECT_THAT(differences(name, job_of(name, ranks)), IsEmpty()) << name << ranks;
}

TEST(AdapterPatterns, GiveTheSameBitsOnOneRankAndOnThree) {
  for (const std::string name : kNames)
    EXPECT_EQ(run(job_of(name))[0].adapter.tensors, run(job_of(name, 3))[0].adapter.tensors) << name;
}

TEST(AdapterPatterns, AreWrittenWithPeftsKeysAndShapes) {
  for (const std::string name : kNames) {
    const TemporaryDirectory directory;
    GoldenJob job = job_of(name);
    job.steps = 0;
    write_adapter(directory.path(), run(job)[0].adapter);
    const nlohmann::json ours = read_json(directory.path() / "adapter_config.json"),
                         theirs = read_json(golden_path("adapter-" + name) / "adapter_config.json");
    for (const char* key :
         {"r", "lora_alpha", "rank_pattern", "alpha_pattern", "layers_to_transform", "target_modules", "use_rslora"})
      EXPECT_EQ(ours[key], theirs[key]) << name << " " << key;
    EXPECT_EQ(ours["layers_pattern"].is_null(), theirs["layers_pattern"].is_null());
    EXPECT_EQ(read_text(directory.path() / "adapter_model.safetensors", 1 << 20),
              read_text(golden_path("adapter-" + name) / "adapter_model.safetensors", 1 << 20))
        << name;
  }
}

std::string error_of(const LoraConfig& lora) {
  const Format f32 = dense_format(DType::kF32);
  try {
    ModelSpec(BaseModel::open(golden_path("tiny-tied.gguf")).config(), rest_as(f32, f32), &lora);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(AdapterPatterns, ThatAdaptNothingOrTooMuchAreRefused) {
  EXPECT_EQ(error_of({.target_modules = {"model.layers.1.mlp.up_proj"}}), "no error");
  EXPECT_THAT(error_of({.target_pattern = "q_proj"}),
              HasSubstr("\"q_proj\" matches no linear of this model; it has to match the whole name, such as model.l"));
  EXPECT_THAT(error_of({.target_pattern = ".*proj|lm_head"}), HasSubstr("matches lm_head too"));
  EXPECT_EQ(error_of({.target_pattern = ".*proj|lm_head", .modules_to_save = {"embed_tokens", "lm_head"}}), "no error");
  EXPECT_THAT(error_of({.target_pattern = R"(model\.layers\.0\..*)"}), HasSubstr("matches model.layers.0."));
  EXPECT_THAT(error_of({.target_modules = {"q_proj"}, .layers_to_transform = {7}}), HasSubstr("choose from 0 to 1"));
  EXPECT_THAT(error_of({.target_modules = {"q_proj"}, .layers_to_transform = {0}, .layers_pattern = {"h"}}),
              HasSubstr("called model.layers.0"));
}

}  // namespace
}  // namespace shardlora
