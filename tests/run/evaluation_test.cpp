#include "run/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>

namespace shardlora {
namespace {

TEST(EvaluationInterval, IsANumberOfStepsOrAFractionOfAllOrPerEpoch) {
  Recipe recipe;
  EXPECT_EQ(evaluation_interval(recipe, 100, 25), 0);
  recipe.eval_steps = 7;
  EXPECT_EQ(evaluation_interval(recipe, 100, 25), 7);
  recipe.eval_steps = 0.125;
  EXPECT_EQ(evaluation_interval(recipe, 100, 25), 13);  // ceil(12.5)
  recipe.eval_steps.reset();
  recipe.evals_per_epoch = 4;
  EXPECT_EQ(evaluation_interval(recipe, 100, 25), 7);  // ceil(25 / 4)
  recipe.eval_strategy = EvalStrategy::kNo;
  EXPECT_EQ(evaluation_interval(recipe, 100, 25), 0);
}

// As transformers' EarlyStoppingCallback on the same losses.
TEST(EarlyStopping, CountsEvaluationsWithoutEnoughProgress) {
  EarlyStopping stopping(2, 0.1);
  EXPECT_TRUE(stopping.add(10, 1.0));
  EXPECT_TRUE(stopping.add(20, 0.95));  // the best, but not by more than the threshold: counts
  EXPECT_FALSE(stopping.stop());
  EXPECT_TRUE(stopping.add(30, 0.8));  // 0.15 better than 0.95
  EXPECT_FALSE(stopping.add(40, 0.8));
  EXPECT_FALSE(stopping.stop());
  EXPECT_FALSE(stopping.add(50, 0.9));
  EXPECT_TRUE(stopping.stop());
  EXPECT_EQ(stopping.best_step(), 30);
  EXPECT_EQ(stopping.best_loss(), 0.8);
}

TEST(EarlyStopping, NeverTakesALossThatIsNoNumberForTheBest) {
  EarlyStopping stopping(2, 0);
  EXPECT_FALSE(stopping.add(1, std::nan("")));
  EXPECT_TRUE(stopping.add(2, 2.0));
  EXPECT_FALSE(stopping.add(3, INFINITY));
  EXPECT_TRUE(stopping.add(4, 1.0));
  EXPECT_FALSE(stopping.stop());
  EXPECT_EQ(stopping.best_step(), 4);
}

TEST(EarlyStopping, WithoutPatienceNeverStops) {
  EarlyStopping stopping(std::nullopt, 0);
  stopping.add(1, 1.0);
  for (int i = 2; i < 100; ++i) EXPECT_FALSE(stopping.add(i, 2.0));
  EXPECT_FALSE(stopping.stop());
  EXPECT_EQ(stopping.best_step(), 1);
}

}  // namespace
}  // namespace shardlora
