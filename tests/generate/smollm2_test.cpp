// The real SmolLM2-135M-Instruct, unquantised in f32, against transformers on the same GGUF
// (scripts/goldens/smollm2.py); on the device that the test program is linked with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "base/parallel.h"
#include "checkpoint/base_model.h"
#include "checkpoint/pack_unit.h"
#include "comm/single_rendezvous.h"
#include "generate/generator.h"
#include "io/json.h"
#include "io/test_model.h"
#include "train/device_of_rank.h"
#include "train/forward_pass.h"
#include "train/step.h"

namespace shardlora {
namespace {

nlohmann::json read_goldens() {
  const std::string path = TEST_DATA "/smollm2/model.json";
  return parse_json(read_text(path, 1 << 20), path);
}

// The model with its base at rest on one rank.
struct RealModel {
  explicit RealModel(const std::filesystem::path& path) : base(BaseModel::open(path)) {
    const Format f32 = dense_format(DType::kF32);
    model = make_model(*device, {base.config(), rest_as(f32, f32), nullptr}, DType::kF32);
    base.check(model->spec());
    store = std::make_unique<ParamStore>(*device, 0, 1, model->spec().units(), Residence{});
    for (std::size_t u = 0; u < store->units(); ++u) {
      std::vector<std::byte> flat(store->layout(u).frozen_bytes());
      pack_unit(base, store->layout(u), flat);
      store->scatter_frozen(u, 0, pinned_copy(*device, flat).data(), *reductions);
    }
  }
  BaseModel base;
  SingleRendezvous rendezvous;
  std::unique_ptr<Device> device = make_device_of_rank({.threads = available_processors()}, rendezvous);
  std::unique_ptr<Communicator> gathers = rendezvous.make_communicator(*device, "gathers");
  std::unique_ptr<Communicator> reductions = rendezvous.make_communicator(*device, "reductions");
  std::unique_ptr<Model> model;
  std::unique_ptr<ParamStore> store;
};

// What f32 allows. Each of 30 layers adds sums of 576 to 1,536 terms in another order than PyTorch's: sqrt(terms) x
// 6e-8 = 2e-6 of what it adds, as random errors sqrt(30) times that, 1e-5 of logits up to 30. A token's loss may be off
// by the sum of the errors of two of them, some 1e-4; the mean over 340 tokens is off by a tenth of that or less,
// relative to its value of 3.6.
constexpr double kTokenLoss = 1e-4, kMeanLoss = 1e-5;

TEST(SmolLM2, GivesTheLossesAndContinuationsOfTransformers) {
  NEEDS_TEST_MODEL();
  const nlohmann::json golden = read_goldens();
  ASSERT_EQ(sha256_of_file(test_model()), golden["sha256"].get<std::string>())
      << "not the file that the goldens were made of";
  const RealModel real(test_model());

  Sample text{golden["text"]["tokens"].get<std::vector<std::int32_t>>(), {}, "", 0};
  text.trained.assign(text.tokens.size(), 1);
  const ForwardPass pass =
      forward_pass(*real.device, *real.model, *real.store, *real.gathers, {{&text}}, Logits::kNo, {});
  const auto losses = golden["text"]["losses"].get<std::vector<double>>();
  ASSERT_EQ(pass.token_losses.size(), losses.size());
  double farthest = 0;
  for (std::size_t i = 0; i < losses.size(); ++i)
    farthest = std::max(farthest, std::abs(static_cast<double>(pass.token_losses[i]) - losses[i]));
  EXPECT_LE(farthest, kTokenLoss);
  {
    TrainStep step(*real.device, *real.model, *real.store, *real.gathers, *real.reductions,
                   {.micro_batches = 1, .rows = padded_rows(std::ssize(text.tokens)), .samples = 1}, {});
    const double mean = golden["text"]["mean_loss"].get<double>();
    EXPECT_NEAR(step.evaluate({{&text}}).loss, mean, kMeanLoss * mean);
  }

  // The goldens' script refuses prompts where the two best logits are nearer than 0.01, far more than f32's noise: no
  // step may differ.
  std::vector<TokenIds> prompts, expected;
  GenerateLimits limits{.prompts = std::ssize(golden["greedy"]), .prompt_tokens = 1, .new_tokens = 64};
  for (const auto& row : golden["greedy"]) {
    prompts.push_back(row["tokens"].get<TokenIds>());
    expected.push_back(row["continuation"].get<TokenIds>());
    if (expected.back().back() == 2) expected.back().pop_back();  // <|im_end|>: ours end before it
    limits.prompt_tokens = std::max(limits.prompt_tokens, std::ssize(prompts.back()));
    for (const double margin : row["margins"]) ASSERT_GE(margin, 0.01);
  }
  Generator generator(*real.device, *real.model, *real.store, *real.gathers, {2}, limits, {}, {});
  const std::vector<TokenIds> answers = generator.run(prompts);
  for (std::size_t p = 0; p < prompts.size(); ++p) EXPECT_EQ(answers[p], expected[p]) << golden["greedy"][p]["prompt"];
}

}  // namespace
}  // namespace shardlora
