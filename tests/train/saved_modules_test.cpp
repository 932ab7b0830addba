// Embedding and head that train as a whole beside the adapter (modules_to_save), tied and untied: against PEFT, and the
// same bits however the work is laid out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/write_adapter.h"
#include "decorators.h"
#include "golden_comparison.h"
#include "io/temporary_directory.h"
#include "tiny_job.h"

namespace shardlora {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

GoldenJob golden_of(const std::string& variant, int ranks = 1) {
  return {.variant = variant, .adapter = golden_path("adapter-saved-" + variant), .ranks = ranks};
}

// scripts/goldens/modules_to_save.py; without decay, as there.
Differences saved_differences(const GoldenJob& job) {
  Golden golden(job.variant);
  golden.step = golden.training = read_golden_tensors(golden_path("saved-" + job.variant + ".safetensors"));
  golden.training["loss"] = golden.training.at("losses");
  return differences(job, golden);
}

TEST(SavedModules, TrainAsPeftTrainsThem) {
  for (const char* variant : {"tied", "untied"})
    for (const int ranks : {1, 2})
      EXPECT_THAT(saved_differences(golden_of(variant, ranks)), IsEmpty()) << variant << " on " << ranks << " ranks";
}

TEST(SavedModules, AreReadWrittenAndReadAgain) {
  for (const char* variant : {"tied", "untied"}) {
    const TemporaryDirectory directory;
    const GoldenResult trained = run(golden_of(variant))[0];
    EXPECT_EQ(trained.adapter.tensors.count("model.embed_tokens.weight"), 1U);
    write_adapter(directory.path(), trained.adapter);
    GoldenJob again = golden_of(variant);
    again.adapter = directory.path();
    again.steps = 0;
    EXPECT_EQ(run(again)[0].forward.logits, trained.trained.logits) << variant;
  }
}

// The head's part of a tied embedding's gradient, dropped.
struct WithoutHeadGradient final : OpsDecorator {
  using OpsDecorator::OpsDecorator;
  void matmul(Tensor y, ConstTensor a, Op op_a, ConstTensor b, Op op_b, Accumulate accumulate, float alpha) override {
    if (op_a == Op::kTranspose)
      OpsDecorator::zero(y);
    else
      OpsDecorator::matmul(y, a, op_a, b, op_b, accumulate, alpha);
  }
};

struct WithoutEmbeddingGradient final : OpsDecorator {
  using OpsDecorator::OpsDecorator;
  void embed_backward(Tensor dtable, ConstTensor, ConstTensor, TableSlice) override { OpsDecorator::zero(dtable); }
};

template <typename Faulty>
Differences differences_with_fault(const std::string& variant) {
  GoldenJob job = golden_of(variant);
  job.steps = 1;
  job.plant = [](Device& device, Communicator&, Communicator&) {
    return PlantedParts{std::make_unique<DeviceDecorator>(device, nullptr, std::make_unique<Faulty>(device.ops())),
                        nullptr, nullptr};
  };
  return saved_differences(job);
}

TEST(SavedModules, ADroppedPartOfTheGradientIsCaught) {
  for (const char* variant : {"tied", "untied"}) {
    const std::string head = std::string(variant) == "tied" ? "model.embed_tokens.weight" : "lm_head.weight";
    EXPECT_THAT(differences_with_fault<WithoutHeadGradient>(variant), Contains(StartsWith("gradient of " + head)));
    EXPECT_THAT(differences_with_fault<WithoutEmbeddingGradient>(variant),
                Contains(StartsWith("gradient of model.embed_tokens.weight")));
  }
}

TinyJob saving(TinyJob job, bool tied) {
  job.tied = tied;
  job.saved = {"embed_tokens", "lm_head"};
  return job;
}

TEST(SavedModules, GiveTheSameBitsHoweverTheWorkIsLaidOut) {
  for (const bool tied : {true, false}) {
    const TinyResult one = run(saving({}, tied));
    for (const int ranks : {2, 3, 4}) EXPECT_EQ(run(saving({.ranks = ranks}, tied)), one) << ranks << " ranks";
    for (const std::int64_t wave : {1, 2}) {
      EXPECT_EQ(run(saving({.wave = wave}, tied)), one) << "wave of " << wave;
      EXPECT_EQ(run(saving({.ranks = 2, .wave = wave}, tied)), one) << "wave of " << wave << " on two ranks";
    }
    EXPECT_EQ(run(saving({.ranks = 2, .recompute = {Recompute::kNo}}, tied)), one);
    EXPECT_EQ(run(saving({.ranks = 3, .frozen = {{Tier::kDevice, Sharding::kReplicated}}}, tied)), one);
    EXPECT_EQ(run(saving({.threads = 2}, tied)), one);
    EXPECT_EQ(run(saving({.ranks = 2, .mode = StreamMode::kDelayed}, tied)), one);
    EXPECT_EQ(run(saving({.ranks = 2, .poison = Poison::kNo, .prefetch = Prefetch::kNo}, tied)), one);
  }
}

TEST(SavedModules, AllocateNothingFromTheSecondStepOn) {
  const TinyResult result = run(saving({.ranks = 2, .steps = 4}, true));
  for (const std::uint64_t count : result.allocations) EXPECT_EQ(count, 0U);
}

std::string error_of(TinyJob job) {
  try {
    run(job);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(SavedModules, OneOfTwoTiedModulesIsRefused) {
  TinyJob job = saving({}, true);
  job.saved = {"embed_tokens"};
  EXPECT_THAT(error_of(job), HasSubstr("embedding and head of this model are one matrix"));
  job.saved = {"q_proj"};
  EXPECT_THAT(error_of(job), HasSubstr("\"q_proj\" cannot be trained as a whole"));
}

TEST(SavedModules, OneOfTwoUntiedModulesTrainsAlone) {
  for (const char* module : {"embed_tokens", "lm_head"}) {
    TinyJob job = saving({}, false), two = saving({.ranks = 2, .wave = 1}, false);
    job.saved = two.saved = {module};
    EXPECT_EQ(run(two), run(job)) << module;
  }
}

}  // namespace
}  // namespace shardlora
