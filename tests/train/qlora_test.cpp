// Up to twelve steps of QLoRA on the real SmolLM2-135M-Instruct, in f32 over each kind of quantised base, against
// transformers and PEFT on the weights that these decode to (scripts/goldens/qlora.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <numeric>

#include "checkpoint/packed_weight.h"
#include "checkpoint/write_adapter.h"
#include "golden_job.h"
#include "io/temporary_directory.h"
#include "io/test_model.h"
#include "io/write_safetensors.h"
#include "run/base_formats.h"
#include "sanitized.h"

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

constexpr Format kNf4{.codec = Codec::kNF4, .block = 64, .double_quant = true},
    kNf4OfBf16{Codec::kNF4, 64, true, DType::kBF16};
const Format kF32 = dense_format(DType::kF32);

// The folder of a base as transformers and bitsandbytes save it: the linears of the layers in NF4, quantised from bf16.
std::filesystem::path write_packed_folder(const TemporaryDirectory& directory, const BaseModel& base) {
  const ModelConfig& config = base.config();
  const ModelSpec model(config, rest_as(kNf4OfBf16, kF32), nullptr);
  std::map<std::string, HeldTensor> tensors;
  for (const UnitSpec& unit : model.units())
    for (const ParamSpec& param : unit.params) {
      std::vector<float> values(static_cast<std::size_t>(param.shape.numel()));
      base.read(base.name_of(param.name), param, values);
      if (param.format.dense()) {
        tensors[param.name] = held(DType::kF32, values);
        tensors[param.name].shape = param.shape;
      } else {
        for (auto& [part, tensor] : packed_weight(param.format, param.shape, values))
          tensors[param.name + part] = std::move(tensor);
      }
    }
  std::vector<NamedTensor> named;
  for (const auto& [name, tensor] : tensors) named.push_back({name, tensor.view()});
  write_safetensors(directory.path() / "model.safetensors", named);
  const nlohmann::json json = {{"architectures", {"LlamaForCausalLM"}},
                               {"vocab_size", config.vocab},
                               {"hidden_size", config.hidden},
                               {"intermediate_size", config.intermediate},
                               {"num_hidden_layers", config.layers},
                               {"num_attention_heads", config.heads},
                               {"num_key_value_heads", config.kv_heads},
                               {"max_position_embeddings", config.max_positions},
                               {"rms_norm_eps", config.norm_eps},
                               {"rope_theta", config.rope.theta},
                               {"tie_word_embeddings", config.tied_embeddings},
                               {"quantization_config", {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}}}};
  directory.write("config.json", json.dump());
  return directory.path();
}

FormatOf as_stored(const BaseModel& base) { return format_of(settled({}, base), base, DType::kF32); }

// Two orders of summation of f32 through thirty layers and up to twelve steps: the farthest loss seen is 2.1e-5 off,
// the farthest gradient norm 1.4e-5 of itself, the first loss 5.7e-6.
constexpr double kLimit = 4e-5, kUntrainedLimit = 1e-5;

struct Base {
  const char* name;  // in the golden
  int ranks, steps;
};

class Qlora : public testing::TestWithParam<Base> {
 protected:
  void SetUp() override {
    NEEDS_TEST_MODEL();
    ASSERT_EQ(sha256_of_file(test_model()), golden_["sha256"].get<std::string>())
        << "not the file that the goldens were made of";
    job_.base = test_model();
    job_.adapter = adapter_.path();
    job_.rest_as = as_stored;
    job_.data = steps_of(golden_["steps"]);
    job_.peak_rate = 1e-3;
    job_.ranks = GetParam().ranks;
    job_.steps = kSanitized ? std::min(GetParam().steps, 2) : GetParam().steps;
    const BaseModel base = BaseModel::open(test_model());
    start_ = starting_adapter(base);
    if (name_ == "nf4") job_.rest_as = [](const BaseModel&) { return rest_as(kNf4, kF32); };
    if (name_ == "bitsandbytes") job_.base = write_packed_folder(folder_, base);
  }

  const nlohmann::json golden_ = read_json(TEST_DATA "/smollm2/qlora.json");
  const std::string name_ = GetParam().name;
  const TemporaryDirectory adapter_, folder_;
  Adapter start_;
  GoldenJob job_;
};

TEST_P(Qlora, GivesTheLossesOfTransformersAndPeft) {
  write_adapter(adapter_.path(), start_);
  const auto losses = golden_[name_]["losses"].get<std::vector<double>>(),
             norms = golden_[name_]["grad_norms"].get<std::vector<double>>();
  double farthest = 0, farthest_norm = 0;
  for (const GoldenResult& result : run(job_)) {
    ASSERT_EQ(std::ssize(result.losses), job_.steps);
    for (std::size_t s = 0; s < result.losses.size(); ++s) {
      farthest = std::max(farthest, std::abs(result.losses[s] - losses[s]));
      farthest_norm = std::max(farthest_norm, std::abs(result.grad_norms[s] / norms[s] - 1));
      EXPECT_NEAR(result.losses[s], losses[s], kLimit) << "step " << s + 1;
      EXPECT_NEAR(result.grad_norms[s], norms[s], kLimit * norms[s]) << "step " << s + 1;
    }
  }
  RecordProperty("farthest_loss", fmt::format("{:.1e}", farthest));
  RecordProperty("farthest_norm", fmt::format("{:.1e}", farthest_norm));
}

class UntrainedBase : public Qlora {};

TEST_P(UntrainedBase, HasTheLossOfF32MathsOnTheValuesOfItsFile) {
  for (auto& [name, tensor] : start_.tensors)
    if (name.ends_with("lora_B.weight")) std::fill(tensor.values.begin(), tensor.values.end(), 0.0F);
  write_adapter(adapter_.path(), start_);
  const std::vector<float> losses = run(job_)[0].forward.token_losses;
  const double mean = std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(losses.size());
  EXPECT_NEAR(mean, golden_[name_]["untrained"].get<double>(), kUntrainedLimit);
  RecordProperty("off", fmt::format("{:.1e}", std::abs(mean - golden_[name_]["untrained"].get<double>())));
}

const auto kName = [](const auto& info) { return fmt::format("{}_{}", info.param.name, info.param.ranks); };
INSTANTIATE_TEST_SUITE_P(OnRanks, Qlora,
                         testing::Values(Base{"stored", 1, 12}, Base{"stored", 2, 12}, Base{"nf4", 2, 4},
                                         Base{"bitsandbytes", 1, 12}),
                         kName);
INSTANTIATE_TEST_SUITE_P(OnRanks, UntrainedBase, testing::Values(Base{"stored", 1, 0}), kName);

}  // namespace
}  // namespace shardlora
