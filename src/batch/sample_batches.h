// Rows cut into micro-batches. A row is one sample, or several that were packed; a micro-batch holds the samples of its
// rows one after the other, so neither packing nor the cut changes what a sample sees, nor the loss: the mean over all
// target tokens of the step.
#pragma once

#include <cstdint>
#include <vector>

#include "batch/sample.h"

namespace shardlora {

// How rows are cut. With `tokens` (0: not given) a micro-batch holds rows of similar length, as many as have at most
// that many tokens together; else `rows` rows, in their order.
struct MicroBatchSize {
  std::int64_t rows = 1;
  std::int64_t tokens = 0;
};

std::vector<SampleRefs> cut_micro_batches(std::vector<SampleRefs> rows, const MicroBatchSize& size);

// Samples in their order as rows: each its own, or packed into rows of up to `pack_to` tokens (0: not packed).
std::vector<SampleRefs> rows_of(const std::vector<Sample>& samples, std::int64_t pack_to);

// The largest that a step can get.
struct StepLimits {
  std::int64_t micro_batches = 1;  // of a step, over all ranks
  std::int64_t rows = 0;           // padded tokens of a micro-batch
  std::int64_t samples = 1;        // of a micro-batch
};

// Widens `limits` so that a step, or an evaluation, of these micro-batches fits.
void include_step(StepLimits& limits, const std::vector<SampleRefs>& micro_batches);
void include_evaluation(StepLimits& limits, const std::vector<SampleRefs>& micro_batches);

}  // namespace shardlora
