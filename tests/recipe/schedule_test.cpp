// Learning rates of recipes against transformers' schedulers (scripts/goldens/schedules.py), over whole runs.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "io/json.h"
#include "recipe/recipe_text.h"

namespace shardlora {
namespace {

// The recipe as its user writes it.
std::string recipe_of(const nlohmann::json& run) {
  std::string kwargs;
  for (const auto& [name, value] : run["kwargs"].items())
    kwargs += fmt::format("{}{}: {}", kwargs.empty() ? "" : ", ", name,
                          value.is_string() ? value.get<std::string>() : value.dump());
  std::string text =
      fmt::format("base_model: m.gguf\nadapter: qlora\ndatasets: [rows.jsonl]\nlr_scheduler: {}\nlearning_rate: {}\n",
                  run["scheduler"].get<std::string>(), run["peak"].get<double>());
  if (!kwargs.empty()) text += fmt::format("lr_scheduler_kwargs: {{{}}}\n", kwargs);
  // "constant" has no warm-up, whatever it is told.
  if (run["scheduler"] != "constant") text += fmt::format("warmup_steps: {}\n", run["warmup"].get<int>());
  return text;
}

TEST(LearningRate, FollowsTransformersOverWholeRuns) {
  const std::filesystem::path golden = std::filesystem::path(TEST_DATA) / "optim" / "schedules.json";
  const nlohmann::json runs = parse_json(read_text(golden, 1 << 20), golden.string())["runs"];
  ASSERT_GE(runs.size(), 30U);
  for (const auto& run : runs) {
    const LearningRate rates = load_text(recipe_of(run)).learning_rates(run["total"]);
    for (std::size_t s = 0; s < run["rates"].size(); ++s) {
      // Both compute in double; the order of a handful of operations differs.
      const double expected = run["rates"][s];
      EXPECT_NEAR(rates.at(static_cast<std::int64_t>(s)), expected, 1e-14 * run["peak"].get<double>())
          << recipe_of(run) << "step " << s << " of " << run["total"];
    }
  }
}

// transformers 5: a share below 1, whole steps from 1 on.
TEST(WarmUp, IsAShareOfTheRunBelowOne) {
  const auto warmup = [](const std::string& steps) {
    return load_text("base_model: m.gguf\nadapter: qlora\ndatasets: [rows.jsonl]\nwarmup_steps: " + steps + "\n")
        .warmup(30);
  };
  EXPECT_EQ(warmup("0.25"), 8);  // ceil(7.5)
  EXPECT_EQ(warmup("1"), 1);
  EXPECT_EQ(warmup("7"), 7);
  EXPECT_EQ(warmup("0"), 0);
  EXPECT_THROW(warmup("1.5"), Error);
}

}  // namespace
}  // namespace shardlora
