// The whole training path against transformers + PEFT, on tiny Llamas in f32: the same files, batches and settings.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden_comparison.h"

namespace shardlora {
namespace {

using testing::Combine;
using testing::IsEmpty;
using testing::Values;

// Variant and ranks. Variants: tied and untied embeddings, and a head size that is not hidden / heads.
class AgainstPeft : public testing::TestWithParam<std::tuple<const char*, int>> {
 protected:
  std::string variant() const { return std::get<0>(GetParam()); }
  // One run serves all tests of a parameter.
  const std::vector<GoldenResult>& results() const {
    static std::map<std::tuple<std::string, int>, std::vector<GoldenResult>> all;
    std::vector<GoldenResult>& mine = all[GetParam()];
    if (mine.empty()) mine = run({.variant = variant(), .ranks = std::get<1>(GetParam())});
    return mine;
  }
  // Of every rank, by `compare`.
  Differences differences(void (*compare)(Differences&, const GoldenResult&, const Golden&)) const {
    const Golden golden(variant());
    Differences lines;
    for (const GoldenResult& result : results()) compare(lines, result, golden);
    return lines;
  }
};

TEST_P(AgainstPeft, GivesTheSameLogitsAndLoss) { EXPECT_THAT(differences(compare_forward), IsEmpty()); }

TEST_P(AgainstPeft, GivesTheSameGradientOfEveryAdapterTensor) {
  EXPECT_EQ(results()[0].gradient.size(), 2U * 7U * 2U);  // layers, linears, A and B
  EXPECT_THAT(differences(compare_gradients), IsEmpty());
}

TEST_P(AgainstPeft, GivesTheSameTwentyStepsOfTraining) {
  EXPECT_EQ(results()[0].losses.size(), 20U);
  EXPECT_THAT(differences(compare_training), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(TinyLlama, AgainstPeft, Combine(Values("tied", "untied", "wide"), Values(1, 2)),
                         [](const auto& info) {
                           return fmt::format("{}_{}", std::get<0>(info.param),
                                              std::get<1>(info.param) == 1 ? "OneRank" : "TwoRanks");
                         });

}  // namespace
}  // namespace shardlora
