// A loaded model on emulated cards, from a model's files to the last step: what it takes of a card, and when.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "checkpoint/adapter_state.h"
#include "generate/generator.h"
#include "io/temporary_directory.h"
#include "recipe/recipe_adapter.h"
#include "run/loaded_model.h"
#include "run/loop.h"
#include "thread_ranks.h"
#include "tiny_job.h"

namespace shardlora {
namespace {

std::size_t free_bytes() {
  std::size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  return free;
}

// What was free of this rank's card before the first step, and after the last thing that a run does.
struct Free {
  std::size_t before, after;
};

Free train_and_generate(Rendezvous& rendezvous, Sharding sharding) {
  Recipe recipe;
  recipe.base_model = TEST_DATA "/architectures/qwen2-tied";
  recipe.backend = Backend::kCuda;
  recipe.bf16 = recipe.fp16 = UseDtype::kNo;
  recipe.sharding = sharding;
  recipe.lora_modules_to_save = {"embed_tokens", "lm_head"};
  Ranks ranks(rendezvous, recipe);
  const BaseModel base = BaseModel::open(recipe.base_model);
  const LoraConfig lora = lora_config(recipe);
  const auto samples = tiny_samples(11, static_cast<std::int32_t>(base.config().vocab));
  std::vector<SampleRefs> batch;
  for (const Sample& sample : samples) batch.push_back({&sample});
  StepLimits limits;
  include_step(limits, batch);
  LoadedModel loaded(ranks, recipe, base, &lora, training_workload(ranks, recipe, limits));
  initialise_adapter(*loaded.store, base, recipe.seed);
  auto step = make_train_step(ranks, loaded, recipe, limits);
  auto generator = std::make_unique<Generator>(*ranks.device, *loaded.model, *loaded.store, *ranks.gathers, TokenIds{2},
                                               GenerateLimits{1, 8, 4}, Sampling{}, StreamerOptions{});
  const std::size_t before = free_bytes();
  LossScale loss_scale;
  for (int s = 1; s <= 2; ++s) step->run(batch, adamw_step({}, 1e-3, s), 1.0, loss_scale);
  step->evaluate(batch);
  generator->run({{3, 4, 5}});
  const TemporaryDirectory directory;
  save_adapter(directory.path(), *loaded.store, *ranks.reductions, lora, recipe.base_model);
  return {before, free_bytes()};
}

// NCCL takes memory of a card whenever it meets a collective in a size that is new to it. What is found free for
// weights and caches has to stay free.
TEST(LoadedModelOnTheGpu, HasNcclTakeItsMemoryBeforeItIsSharedOut) {
  for (const Sharding sharding : {Sharding::kSharded, Sharding::kReplicated})
    for (const Free& free : on_thread_ranks(2, [&](Rendezvous& r) { return train_and_generate(r, sharding); }))
      EXPECT_EQ(free.before, free.after);
}

}  // namespace
}  // namespace shardlora
