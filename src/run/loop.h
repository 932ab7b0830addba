// A whole training run: data, base, adapter, steps, evaluation, files. Everything around the step.
#pragma once

#include "batch/training_steps.h"
#include "recipe/recipe.h"
#include "run/loaded_model.h"
#include "train/step.h"

namespace shardlora {

// Collective. Throws an Error after writing the adapter when a signal ended the run early.
void train(Ranks& ranks, const Recipe& recipe);

// How its samples become steps on so many ranks.
BatchOptions batch_options(const Recipe& recipe, int ranks);
// What is held out, cut for an evaluation.
std::vector<SampleRefs> evaluation_batches(const Recipe& recipe, const std::vector<Sample>& held_out);
// The step of a model, as its memory was shared out.
std::unique_ptr<TrainStep> make_train_step(Ranks& ranks, const LoadedModel& loaded, const Recipe& recipe,
                                           const StepLimits& limits);
// What such steps ask of memory.
Workload training_workload(Ranks& ranks, const Recipe& recipe, const StepLimits& limits);

}  // namespace shardlora
