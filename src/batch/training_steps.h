// Which samples make up every step of a run: fixed by the recipe alone, before anything is dealt to ranks; every rank
// computes the same. An epoch passes once over all samples in a keyed order of its own; its samples become rows, the
// rows steps of global_batch_size (an epoch's last one may be smaller), a step's rows micro-batches.
#pragma once

#include <optional>
#include <vector>

#include "batch/packing.h"
#include "batch/sample_batches.h"

namespace shardlora {

struct BatchOptions {
  std::int64_t global_batch_size = 1;  // rows of a step
  MicroBatchSize micro_batch;
  std::int64_t pack_to = 0;  // tokens of a packed row at most; 0: a sample is a row
  // Samples of similar length share a step: those of a window of the epoch's order are sorted by length, and the
  // window's steps shuffled. Not together with packing.
  bool group_by_length = false;
  std::uint64_t seed = 0;
};

struct StepBatch {
  std::vector<SampleRefs> micro_batches;
  std::int64_t epoch = 0;  // from 0
  double epochs_done = 0;  // once this step is: 1.5 in the middle of the second
  bool ends_epoch = false;
};

class TrainingSteps {
 public:
  TrainingSteps(const std::vector<Sample>& samples, const BatchOptions& options);

  std::int64_t of_epoch(std::int64_t epoch);
  std::int64_t of_epochs(double epochs);
  // Step `step`, from 0, goes on over epochs.
  StepBatch at(std::int64_t step);
  // The largest of the first `steps` steps, found by walking through them.
  StepLimits limits(std::int64_t steps);
  // Of the first epoch: the share of its rows' room that holds tokens.
  double packing_efficiency();
  double samples_per_row();

 private:
  // From here on epochs have the orders of earlier ones again, so that a run of any length can be walked through.
  static constexpr std::int64_t kDistinctEpochs = 64;

  const RowPlan& plan(std::int64_t epoch);
  RowPlan grouped(std::vector<std::uint32_t> order, std::uint32_t epoch) const;
  SampleRefs row(const RowPlan& plan, std::size_t r) const;

  const std::vector<Sample>& samples_;
  BatchOptions options_;
  std::vector<std::uint32_t> lengths_;
  std::vector<std::int64_t> steps_of_;   // of every distinct epoch seen so far
  std::vector<std::int64_t> begins_{0};  // the first step of every epoch seen so far
  std::optional<std::int64_t> planned_;  // the epoch in plan_
  RowPlan plan_;
};

}  // namespace shardlora
