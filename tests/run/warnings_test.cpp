// What a run says of itself: that it is too small to teach much, before it begins; that its loss gets worse, while it
// happens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "run/loss_watch.h"
#include "run/run_size.h"

namespace shardlora {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr std::int64_t kVocabulary = 49152;  // its logarithm is 10.80

// A run whose losses scatter around `mean(step)`, with the steps at which something was said.
struct Watched {
  std::string said, verdict;
  std::int64_t at = 0;  // the first step at which something was said
};
template <typename Mean>
Watched watch(std::int64_t steps, double scatter, const Mean& mean, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, 1);
  LossWatch watch(steps, kVocabulary);
  Watched watched;
  for (std::int64_t s = 1; s <= steps; ++s) {
    const std::string said = watch.add(std::max(0.01, mean(s) + scatter * normal(random)), 100);
    if (!said.empty() && watched.at == 0) watched.at = s;
    watched.said += said;
  }
  watched.verdict = watch.verdict();
  return watched;
}

TEST(LossWatch, TellsWhereALossRisesAboveItsBeginning) {
  const auto diverges = [](std::int64_t step) { return step < 30 ? 2.3 - 0.01 * static_cast<double>(step) : 7.5; };
  const Watched watched = watch(100, 0.2, diverges);
  EXPECT_THAT(watched.said, AllOf(HasSubstr("the loss rose to"), HasSubstr("lower learning_rate")));
  EXPECT_EQ(watched.said.find("rose"), watched.said.rfind("rose")) << "once";
  EXPECT_THAT(watched.at, AllOf(::testing::Ge(30), ::testing::Le(36)));
  EXPECT_THAT(watched.verdict, AllOf(StartsWith("the loss ended at 7."), HasSubstr("worse than the base model")));
  // Runs of a few steps, too.
  EXPECT_THAT(watch(4, 0, [](std::int64_t s) { return s < 3 ? 2.3 : 9.1; }).verdict,
              HasSubstr("ended at 9.1000, above the 2.3000"));
  EXPECT_EQ(watch(2, 0, [](std::int64_t s) { return s < 2 ? 2.3 : 9.1; }).at, 2);
  // One that went wrong within its first steps, and scatters since.
  const std::vector<double> losses{0.93, 7.8, 24.9, 8.6, 15, 47, 15.8, 14.2, 11.1, 7.4, 7.8, 13.5};
  const auto lost = [&](std::int64_t s) { return losses[static_cast<std::size_t>(s - 1)]; };
  EXPECT_THAT(watch(12, 0, lost).verdict, HasSubstr("above the 0.9300 where it began"));
  EXPECT_THAT(watch(40, 0.1, [](std::int64_t s) { return s < 4 ? 1.5 : 3.0; }).said, HasSubstr("rose"));
  // A quarter of a run, up to ten steps, is compared with its beginning.
  EXPECT_EQ(watch(12, 0, [](std::int64_t s) { return s < 7 ? 2.0 : 9.0; }).at, 8);
  // How much is a rise: a fifth, where a run is short two.
  const auto rises_to = [](double loss) { return [=](std::int64_t s) { return s < 11 ? 2.0 : loss; }; };
  EXPECT_EQ(watch(100, 0, rises_to(2.4)).verdict, "");
  EXPECT_THAT(watch(100, 0, rises_to(2.5)).verdict, HasSubstr("above the 2.0000"));
  EXPECT_EQ(watch(20, 0, rises_to(2.8)).verdict, "");
  EXPECT_THAT(watch(20, 0, rises_to(2.9)).verdict, HasSubstr("above the 2.0000"));
  // What came back is told while it lasts, and not in the end.
  const Watched back = watch(100, 0.1, [](std::int64_t s) { return s > 20 && s < 60 ? 5.0 : 2.0; });
  EXPECT_THAT(back.said, HasSubstr("rose"));
  EXPECT_EQ(back.verdict, "");
}

TEST(LossWatch, IsSilentOnRunsThatGoWell) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    for (const std::int64_t steps : {1, 2, 3, 5, 8, 13, 40, 200}) {
      const auto falls = [&](std::int64_t s) {
        return 2.5 - 1.0 * static_cast<double>(s) / static_cast<double>(steps);
      };
      const Watched falling = watch(steps, 0.3, falls, seed);
      EXPECT_EQ(falling.said + falling.verdict, "") << steps << " steps, seed " << seed;
    }
    // Nothing to learn is no rise: losses that scatter around one value.
    const Watched flat = watch(60, 0.2, [](std::int64_t) { return 1.5; }, seed);
    EXPECT_EQ(flat.said + flat.verdict, "") << seed;
    // Rows of all kinds, one a step: the first is an easy one.
    const Watched mixed = watch(60, 1.0, [](std::int64_t s) { return s == 1 ? 0.1 : 1.6; }, seed);
    EXPECT_EQ(mixed.said + mixed.verdict, "") << seed;
    const Watched low = watch(60, 0.003, [](std::int64_t) { return 0.02; }, seed);
    EXPECT_EQ(low.said + low.verdict, "") << seed;
  }
  // A step counts by what trains of it.
  LossWatch uneven(8, kVocabulary);
  for (std::int64_t s = 1; s <= 8; ++s) EXPECT_EQ(uneven.add(s == 8 ? 9.0 : 2.0, s == 8 ? 1 : 1000), "") << s;
  EXPECT_EQ(uneven.verdict(), "");
  LossWatch watch(8, kVocabulary);
  EXPECT_EQ(watch.verdict(), "") << "no step yet";
  EXPECT_EQ(watch.add(std::numeric_limits<double>::quiet_NaN(), 10), "");
  EXPECT_EQ(watch.verdict(), "");
}

TEST(LossWatch, TellsWhereALossIsWhatGuessingGives) {
  const Watched lost = watch(60, 0.05, [](std::int64_t s) { return s < 20 ? 2.0 : 10.8; });
  EXPECT_THAT(lost.said, HasSubstr("rose"));
  EXPECT_THAT(lost.verdict, AllOf(HasSubstr("where it began, and no better than guessing (10.8027): it is worse")));
  const Watched never = watch(60, 0.05, [](std::int64_t) { return 10.8; });
  EXPECT_THAT(never.said,
              AllOf(HasSubstr("guessing among 49152 tokens gives 10.8027"), HasSubstr("since the first step")));
  EXPECT_LE(never.at, 10);
  EXPECT_THAT(never.verdict,
              AllOf(HasSubstr("no better than guessing among 49152 tokens"), HasSubstr("do not use it")));
  EXPECT_THAT(watch(2, 0, [](std::int64_t) { return 10.8; }).verdict, HasSubstr("guessing"));
}

TEST(LossWatch, TellsWhereTheEvaluationsGetWorse) {
  LossWatch watch(100, kVocabulary);
  EXPECT_EQ(watch.add_evaluation(20, 1.5), "");
  EXPECT_EQ(watch.add_evaluation(40, 1.2), "");
  EXPECT_EQ(watch.add_evaluation(60, 1.55), "");
  EXPECT_EQ(watch.verdict(), "");
  EXPECT_THAT(watch.add_evaluation(80, 1.6),
              AllOf(HasSubstr("rose to 1.6000 from the 1.5000 of step 20"), HasSubstr("load_best_model_at_end: true")));
  EXPECT_EQ(watch.add_evaluation(100, 1.8), "") << "once";
  EXPECT_THAT(watch.verdict(), HasSubstr("the eval loss ended at 1.8000, above the 1.5000 of step 20"));
}

TEST(RunSize, IsToldWhereItTeachesLittleWithTheSettingThatHelps) {
  Recipe recipe;
  recipe.global_batch_size = 16;
  recipe.num_epochs = 2;
  recipe.warmup_ratio = 0.03;
  recipe.val_set_size = 0.05;
  recipe.learning_rate = 5e-4;
  RunSize size{.steps = 4, .steps_of_epoch = 2, .global_batch_size = 16, .samples = 28, .held_out = 2};
  EXPECT_THAT(
      size_warnings(recipe, size),
      ElementsAre(AllOf(StartsWith("only 4 steps (28 samples in steps of 16, 2 times)"),
                        HasSubstr("global_batch_size: 2 makes 28 steps, num_epochs: 10 makes 20")),
                  StartsWith("the warm-up (1 step) begins at a learning rate of 0, so the first of 4 steps "
                             "teaches nothing; warmup_steps: 0"),
                  StartsWith("2 samples held out: the eval loss says little; val_set_size: 0.2 keeps 6 aside")));
  recipe.warmup_ratio.reset();
  recipe.warmup_steps = 10;
  recipe.test_datasets = {{.path = "t.jsonl"}};
  EXPECT_THAT(size_warnings(recipe, size),
              ElementsAre(StartsWith("only 4 steps"),
                          StartsWith("the warm-up (10 steps) is the whole run of 4 steps: the learning rate ends at "
                                     "0.00015, 0.0005 is never reached. warmup_steps: 0 "),
                          HasSubstr("name more rows in test_datasets")));
  // The words of the recipe: accumulated batches, a number of steps.
  recipe.global_batch_size.reset();
  recipe.micro_batch_size = 2;
  recipe.gradient_accumulation_steps = 8;
  recipe.warmup_steps = 0;
  recipe.eval_strategy = EvalStrategy::kNo;
  EXPECT_THAT(size_warnings(recipe, size),
              ElementsAre(HasSubstr("gradient_accumulation_steps: 1 makes 28 steps, num")));
  recipe.max_steps = 4;
  EXPECT_THAT(size_warnings(recipe, size), ElementsAre(AllOf(HasSubstr("(max_steps)"), HasSubstr("max_steps: 20"))));
  // A step has a micro-batch of every rank; packed, there are fewer rows than samples.
  recipe.max_steps.reset();
  recipe.gradient_accumulation_steps = 4;
  size.ranks = 2;
  EXPECT_THAT(size_warnings(recipe, size),
              ElementsAre(HasSubstr("gradient_accumulation_steps: 1 makes 14 steps, num")));
  recipe.global_batch_size = 16;
  size.samples = 1000;
  EXPECT_THAT(size_warnings(recipe, size), ElementsAre(HasSubstr("global_batch_size: 2 makes 32 steps, num")));
}

TEST(RunSize, IsToldBelowTenStepsThirtyWithAWarmUpAndTenHeldOut) {
  Recipe recipe;
  recipe.warmup_steps = 2;
  recipe.val_set_size = 0.1;
  recipe.eval_strategy = EvalStrategy::kSteps;
  const auto told = [&](std::int64_t steps, std::int64_t held_out) {
    return size_warnings(recipe, {.steps = steps,
                                  .steps_of_epoch = steps,
                                  .global_batch_size = 16,
                                  .samples = 16 * steps,
                                  .held_out = held_out});
  };
  EXPECT_THAT(told(30, 10), IsEmpty());
  EXPECT_THAT(told(30, 9), ElementsAre(StartsWith("9 samples held out")));
  EXPECT_THAT(told(29, 10), ElementsAre(StartsWith("the warm-up (2 steps) begins at a learning rate of 0")));
  recipe.warmup_steps = 0;
  EXPECT_THAT(told(10, 10), IsEmpty());
  EXPECT_THAT(told(9, 10), ElementsAre(StartsWith("only 9 steps")));
  for (const std::int64_t whole : {20, 21}) {
    recipe.warmup_steps = whole;
    EXPECT_THAT(told(20, 10), ElementsAre(HasSubstr("is the whole run of 20 steps")));
  }
}

// 30 rows are 21 steps of it, which is enough for the answers to change.
TEST(RunSize, OfThirtyRowsIsEnoughByOwnDataYaml) {
  const Recipe recipe = load_recipe(TEST_DATA "/../../configs/own-data.yaml");
  const std::int64_t batch = recipe.global_batch_size.value();
  const std::int64_t steps_of_epoch = (28 + batch - 1) / batch;
  const auto steps = static_cast<std::int64_t>(static_cast<double>(steps_of_epoch) * recipe.num_epochs);
  for (const std::string& warning : size_warnings(recipe, {.steps = steps,
                                                           .steps_of_epoch = steps_of_epoch,
                                                           .global_batch_size = batch,
                                                           .samples = 28,
                                                           .held_out = 2}))
    EXPECT_THAT(warning, ::testing::Not(HasSubstr("hardly change")));
}

TEST(RunSize, IsNotToldOfRunsOfAUsualSize) {
  Recipe recipe;
  recipe.global_batch_size = 16;
  recipe.warmup_ratio = 0.03;
  EXPECT_THAT(
      size_warnings(recipe,
                    {.steps = 150, .steps_of_epoch = 75, .global_batch_size = 16, .samples = 1200, .held_out = 240}),
      IsEmpty());
  recipe.warmup_ratio.reset();
  EXPECT_THAT(size_warnings(recipe, {.steps = 10, .steps_of_epoch = 10, .global_batch_size = 16, .samples = 150}),
              IsEmpty());
}

}  // namespace
}  // namespace shardlora
