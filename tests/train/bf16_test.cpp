// bf16 is as near to f32 as PyTorch's own bf16 is: at most twice its error, over 20 seeds (scripts/goldens/bf16.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

class Bf16 : public testing::TestWithParam<const char*> {};

TEST_P(Bf16, IsAsNearToF32AsPyTorchsIs) {
  if (make_cpu_device()->support(DType::kBF16) == Support::kNone) GTEST_SKIP() << "this CPU has no bf16 products";
  const std::filesystem::path data = std::filesystem::path(TEST_DATA) / "architectures";
  const nlohmann::json golden = read_json(data / "bf16.json");
  const std::vector<GoldenStep> steps = steps_of(golden["steps"]);
  ASSERT_EQ(steps.size(), 20U);
  Errors errors;
  for (const GoldenStep& step : steps) {
    GoldenJob job{.base = data / GetParam(), .adapter = data / GetParam() / "adapter", .data = {step}, .steps = 1};
    const GoldenResult exact = run(job)[0];
    job.dtype = DType::kBF16;
    const GoldenResult rounded = run(job)[0];
    errors.add("logits", rounded.forward.logits, exact.forward.logits);
    for (const auto& [name, gradient] : exact.gradient)
      errors.add(golden_name("grad", name), rounded.gradient.at(name), gradient);
  }
  const nlohmann::json& theirs = golden["variants"][GetParam()]["rms"];
  EXPECT_EQ(errors.sums.size(), theirs.size());
  Differences lines;
  double farthest = 0;
  for (const auto& [name, rms] : theirs.items()) {
    farthest = std::max(farthest, errors.rms(name) / rms.get<double>());
    EXPECT_GT(errors.rms(name), 0) << name;  // it was bf16
    compare(lines, name, errors.rms(name), 2 * rms.get<double>());
  }
  EXPECT_THAT(lines, IsEmpty());
  RecordProperty("largest_ratio", fmt::format("{:.2f}", farthest));
}

INSTANTIATE_TEST_SUITE_P(Tiny, Bf16, testing::Values("llama3", "qwen2", "qwen3"));

}  // namespace
}  // namespace shardlora
