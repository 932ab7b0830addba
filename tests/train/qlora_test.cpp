// Twelve steps of QLoRA on the real SmolLM2-135M-Instruct, in f32 over NF4 with double quantisation, against
// transformers and PEFT on the weights that bitsandbytes' NF4 decodes to (scripts/goldens/qlora.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "golden_job.h"
#include "io/temporary_directory.h"
#include "io/test_model.h"

namespace shardlora {
namespace {

// Pseudo-random numbers in [-1, 1) from a parameter's name, as the golden's script makes them.
std::vector<double> uniform_values(const std::string& name, std::int64_t count) {
  std::uint32_t seed = 2166136261U;
  for (const char byte : name) seed = (seed ^ static_cast<std::uint8_t>(byte)) * 16777619U;
  std::vector<double> values;
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint32_t x = i * 2654435761U + seed;
    x = (x ^ (x >> 15)) * 2246822519U;
    x = (x ^ (x >> 13)) * 3266489917U;
    values.push_back(2 * ((x >> 8) / 16777216.0) - 1);
  }
  return values;
}

Adapter starting_adapter(const BaseModel& base) {
  Adapter adapter;
  adapter.config = {.rank = 4,
                    .alpha = 8,
                    .target_modules = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}};
  const Format f32 = dense_format(DType::kF32);
  const ModelSpec model(base.config(), rest_as(f32, f32), &adapter.config);
  for (const UnitSpec& unit : model.units()) {
    for (const ParamSpec& param : unit.params) {
      if (!param.trainable) continue;
      const bool is_a = param.name.ends_with("lora_A.weight");
      AdapterTensor& tensor = adapter.tensors[param.name];
      tensor.shape = param.shape;
      for (const double u : uniform_values(param.name, param.shape.numel()))
        tensor.values.push_back(
            static_cast<float>(is_a ? u / std::sqrt(static_cast<double>(param.shape[1])) : 0.02 * u));
    }
  }
  return adapter;
}

class Qlora : public testing::TestWithParam<int> {};

TEST_P(Qlora, GivesTheTwelveLossesOfTransformersAndPeft) {
  NEEDS_TEST_MODEL();
  const nlohmann::json golden = read_json(TEST_DATA "/smollm2/qlora.json");
  ASSERT_EQ(sha256_of_file(test_model()), golden["sha256"].get<std::string>())
      << "not the file that the goldens were made of";
  const TemporaryDirectory directory;
  write_adapter(directory.path(), starting_adapter(BaseModel::open(test_model())));
  const GoldenJob job{.base = test_model(),
                      .adapter = directory.path(),
                      .data = steps_of(golden["steps"]),
                      .linears = Format{.codec = Codec::kNF4, .block = 64, .double_quant = true},
                      .peak_rate = 1e-3,
                      .ranks = GetParam(),
                      .steps = 12};
  const auto losses = golden["losses"].get<std::vector<double>>(),
             norms = golden["grad_norms"].get<std::vector<double>>();
  double farthest = 0;
  for (const GoldenResult& result : run(job)) {
    ASSERT_EQ(result.losses.size(), losses.size());
    for (std::size_t s = 0; s < losses.size(); ++s) {
      farthest = std::max(farthest, std::abs(result.losses[s] - losses[s]));
      EXPECT_NEAR(result.losses[s], losses[s], 1e-3) << "step " << s + 1;
      EXPECT_NEAR(result.grad_norms[s], norms[s], 1e-3 * norms[s]) << "step " << s + 1;
    }
  }
  RecordProperty("farthest_loss", fmt::format("{:.1e}", farthest));
}

INSTANTIATE_TEST_SUITE_P(OnRanks, Qlora, testing::Values(1, 2), testing::PrintToStringParamName());

}  // namespace
}  // namespace shardlora
