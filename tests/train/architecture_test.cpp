// Every architecture and rotary scaling against transformers + PEFT: one step of tiny random models as transformers
// saves them (scripts/goldens/architectures.py), and of the same weights in GGUF.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden_comparison.h"

namespace shardlora {
namespace {

using testing::Combine;
using testing::IsEmpty;
using testing::Values;

// A folder of tests/data/architectures or, with .gguf, the file beside it; ranks.
class Architectures : public testing::TestWithParam<std::tuple<const char*, int>> {
 protected:
  static std::filesystem::path data(const std::string& name) {
    return std::filesystem::path(TEST_DATA) / "architectures" / name;
  }
};

TEST_P(Architectures, GiveTheLossAndGradientsOfTransformers) {
  const std::filesystem::path base = std::get<0>(GetParam());
  const std::string variant = base.stem();
  const Golden golden(read_golden_tensors(data(variant) / "golden.safetensors"));
  Differences lines;
  for (const GoldenResult& result :
       run({.base = data(base), .adapter = data(variant) / "adapter", .ranks = std::get<1>(GetParam()), .steps = 1})) {
    EXPECT_EQ(result.gradient.size(), 2U * 7U * 2U);  // layers, linears, A and B
    compare_forward(lines, result, golden);
    compare_gradients(lines, result, golden);
  }
  EXPECT_THAT(lines, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Tiny, Architectures,
                         Combine(Values("llama3", "llama-yarn", "llama-linear", "llama-biased", "mistral", "qwen2",
                                        "qwen2-tied", "qwen2-two-heads", "qwen3", "llama3.gguf", "llama-yarn.gguf",
                                        "qwen2.gguf", "qwen3.gguf"),
                                 Values(1, 2)),
                         [](const auto& info) {
                           std::string name = std::get<0>(info.param);
                           for (char& c : name)
                             if (c == '-' || c == '.') c = '_';
                           return fmt::format("{}_{}", name, std::get<1>(info.param) == 1 ? "OneRank" : "TwoRanks");
                         });

}  // namespace
}  // namespace shardlora
