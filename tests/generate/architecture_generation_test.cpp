// Generation with a cache gives the tokens that whole forward passes give, for every architecture and rotary scaling.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "backend/cpu/cpu_device.h"
#include "checkpoint/base_model.h"
#include "checkpoint/pack_unit.h"
#include "comm/single_rendezvous.h"
#include "generate/generator.h"
#include "train/forward_pass.h"

namespace shardlora {
namespace {

// In f16 the cached pass and the whole one round in other places: some 30 roundings of 2^-11 behind each other in two
// layers, as a random walk, on either side.
const float kRoundings = 2 * std::sqrt(30.0F) * 0x1p-11F;

class ArchitectureGeneration : public testing::TestWithParam<std::tuple<const char*, DType>> {};

TEST_P(ArchitectureGeneration, FollowsTheForwardPass) {
  const auto [variant, dtype] = GetParam();
  const BaseModel base = BaseModel::open(std::filesystem::path(TEST_DATA) / "architectures" / variant);
  SingleRendezvous rendezvous;
  const auto device = make_cpu_device();
  const auto gathers = rendezvous.make_communicator(*device, "gathers");
  const Format dense = dense_format(dtype);
  const StreamerOptions streamer{.dtype = dtype};
  const auto model = make_model(*device, {base.config(), rest_as(dense, dense), nullptr}, dtype);
  ParamStore store(*device, 0, 1, model->spec().units(), Residence{});
  for (std::size_t u = 0; u < store.units(); ++u)
    pack_unit(base, store.layout(u), {store.frozen(u), store.layout(u).frozen_bytes()});

  constexpr std::int64_t kNew = 12;
  const std::vector<TokenIds> prompts = {{5, 17, 60, 3, 41}, {88}, {9, 9, 30}};
  Generator generator(*device, *model, store, *gathers, {}, {.prompts = 3, .prompt_tokens = 5, .new_tokens = kNew}, {},
                      streamer);
  const std::vector<TokenIds> answers = generator.run(prompts);
  for (std::size_t p = 0; p < prompts.size(); ++p) {
    ASSERT_EQ(answers[p].size(), static_cast<std::size_t>(kNew));
    Sample sample{prompts[p], {}, "", 0};
    for (const std::int32_t token : answers[p]) {
      sample.trained.assign(sample.tokens.size(), 0);
      sample.trained.back() = 1;
      const std::vector<float> logits =
          forward_pass(*device, *model, store, *gathers, {{&sample}}, Logits::kYes, streamer).logits;
      const auto last = logits.end() - model->config().vocab;
      const auto [least, most] = std::minmax_element(last, logits.end());
      const float allowed = dtype == DType::kF32 ? 0.0F : (*most - *least) * kRoundings;
      EXPECT_GE(last[token], *most - allowed) << "prompt " << p << ", " << sample.tokens.size();
      sample.tokens.push_back(token);
    }
  }
}

// Greedy and drawn, from prompts that go through the layers in several chunks or in one.
std::vector<std::vector<TokenIds>> answers_of(const BaseModel& base, const TableCut& cut) {
  SingleRendezvous rendezvous;
  const auto device = make_cpu_device();
  const auto gathers = rendezvous.make_communicator(*device, "gathers");
  const Format dense = dense_format(DType::kF32);
  ModelConfig config = base.config();
  config.max_positions = 1024;
  const auto model = make_model(*device, {config, rest_as(dense, dense), nullptr, cut}, DType::kF32);
  ParamStore store(*device, 0, 1, model->spec().units(), Residence{});
  for (std::size_t u = 0; u < store.units(); ++u)
    pack_unit(base, store.layout(u), {store.frozen(u), store.layout(u).frozen_bytes()});
  std::vector<std::vector<TokenIds>> answers;
  for (const double temperature : {0.0, 1.0}) {
    for (const std::int64_t longest : {5, 700}) {
      Generator generator(*device, *model, store, *gathers, {},
                          {.prompts = 3, .prompt_tokens = longest, .new_tokens = 8}, {.temperature = temperature}, {});
      answers.push_back(generator.run({{5, 17, 60, 3, 41}, {88}, {9, 9, 30}}));
    }
  }
  return answers;
}

TEST(GenerationOfACutModel, GivesTheSameAnswers) {
  for (const char* variant : {"llama-biased", "qwen2-tied"}) {
    const BaseModel base = BaseModel::open(std::filesystem::path(TEST_DATA) / "architectures" / variant);
    const std::int64_t third = (base.config().vocab + 2) / 3;
    EXPECT_EQ(answers_of(base, {.most_elements = third * base.config().hidden, .grain = 1}), answers_of(base, {}))
        << variant << (base.config().tied_embeddings ? ", tied" : ", untied");
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, ArchitectureGeneration,
                         testing::Combine(testing::Values("llama3", "llama-yarn", "llama-biased", "mistral", "qwen2",
                                                          "qwen3"),
                                          testing::Values(DType::kF32, DType::kF16)),
                         [](const auto& info) {
                           std::string name =
                               fmt::format("{}_{}", std::get<0>(info.param), name_of(std::get<1>(info.param)));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace shardlora
