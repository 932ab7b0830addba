// bf16 and f16 are as near to f32 as PyTorch's own are: at most twice its error, over 20 seeds
// (scripts/goldens/bf16.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "comm/single_rendezvous.h"
#include "golden_comparison.h"

namespace shardlora {
namespace {

using testing::IsEmpty;

// Adds up squares of differences, by quantity.
struct Errors {
  std::map<std::string, std::pair<double, double>> sums;  // of squares, and how many

  void add(const std::string& name, const std::vector<float>& a, const std::vector<float>& b) {
    auto& [squares, count] = sums[name];
    for (std::size_t i = 0; i < a.size(); ++i) squares += std::pow(static_cast<double>(a[i]) - b[i], 2);
    count += static_cast<double>(a.size());
  }
  double rms(const std::string& name) const { return std::sqrt(sums.at(name).first / sums.at(name).second); }
};

// How far ours is from f32, by quantity, over the goldens' steps.
Errors errors_of(const std::string& variant, DType dtype, LossScale loss_scale) {
  const std::filesystem::path data = std::filesystem::path(TEST_DATA) / "architectures";
  Errors errors;
  for (const GoldenStep& step : steps_of(read_json(data / "bf16.json")["steps"])) {
    GoldenJob job{.base = data / variant, .adapter = data / variant / "adapter", .data = {step}, .steps = 1};
    const GoldenResult exact = run(job)[0];
    job.dtype = dtype;
    job.loss_scale = loss_scale;
    const GoldenResult rounded = run(job)[0];
    errors.add("logits", rounded.forward.logits, exact.forward.logits);
    for (const auto& [name, gradient] : exact.gradient)
      errors.add(golden_name("grad", name), rounded.gradient.at(name), gradient);
  }
  return errors;
}

class Half : public testing::TestWithParam<const char*> {
 protected:
  void expect_as_near_as_pytorch(const Errors& errors, const std::string& golden) {
    const nlohmann::json file = read_json(std::filesystem::path(TEST_DATA) / "architectures" / golden);
    const nlohmann::json& theirs = file["variants"][GetParam()]["rms"];
    EXPECT_EQ(errors.sums.size(), theirs.size());
    Differences lines;
    double farthest = 0;
    for (const auto& [name, rms] : theirs.items()) {
      farthest = std::max(farthest, errors.rms(name) / rms.get<double>());
      EXPECT_GT(errors.rms(name), 0) << name;  // it was rounded
      compare(lines, name, errors.rms(name), 2 * rms.get<double>());
    }
    EXPECT_THAT(lines, IsEmpty());
    RecordProperty("largest_ratio", fmt::format("{:.2f}", farthest));
  }
};

TEST_P(Half, Bf16IsAsNearToF32AsPyTorchsIs) {
  if (make_device_of_rank({}, SingleRendezvous())->support(DType::kBF16) == Support::kNone)
    GTEST_SKIP() << "this CPU has no bf16 products";
  expect_as_near_as_pytorch(errors_of(GetParam(), DType::kBF16, {}), "bf16.json");
}

TEST_P(Half, F16IsAsNearToF32AsPyTorchsIs) {
  expect_as_near_as_pytorch(errors_of(GetParam(), DType::kF16, LossScale::dynamic(1024)), "f16.json");
}

INSTANTIATE_TEST_SUITE_P(Tiny, Half, testing::Values("llama3", "qwen2", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace shardlora
