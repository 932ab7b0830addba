// A whole training run: data, base, adapter, steps, evaluation, files. Everything around the step.
#pragma once

#include "train/recipe.h"
#include "train/session.h"
#include "train/step.h"

namespace shardlora {

// Collective. Throws an Error after writing the adapter when a signal ended the run early.
void train(Ranks& ranks, const Recipe& recipe);

// The adapter that a recipe asks for.
LoraConfig lora_config(const Recipe& recipe);
// The largest step over these samples.
StepLimits step_limits(std::int64_t global_batch_size, std::int64_t micro_batch_size, std::int64_t longest_sample);
// A TrainStep with the largest wave that memory.device_limit leaves room for, the same on every rank.
std::unique_ptr<TrainStep> make_train_step(Ranks& ranks, Session& session, const Recipe& recipe,
                                           const StepLimits& limits);

}  // namespace shardlora
