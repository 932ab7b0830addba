// Which samples make up a step: fixed by the recipe alone, before anything is dealt to ranks.
#pragma once

#include <vector>

#include "data/order.h"
#include "train/batch_buffers.h"

namespace shardlora {

// Cut into micro-batches of `rows` rows; the last one may be smaller.
inline std::vector<MicroBatchSamples> cut_micro_batches(const std::vector<const Sample*>& samples, std::int64_t rows) {
  std::vector<MicroBatchSamples> cut;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (i % static_cast<std::size_t>(rows) == 0) cut.emplace_back();
    cut.back().push_back(samples[i]);
  }
  return cut;
}

class TrainingSteps {
 public:
  TrainingSteps(const std::vector<Sample>& samples, std::int64_t global_batch_size, std::int64_t micro_batch_size,
                std::uint64_t seed)
      : samples_(samples),
        global_(static_cast<std::size_t>(global_batch_size)),
        micro_(micro_batch_size),
        seed_(seed) {}

  // Steps of one pass over the samples; the last one may be smaller.
  std::int64_t per_epoch() const { return static_cast<std::int64_t>((samples_.size() + global_ - 1) / global_); }

  // Step `step`, from 0, goes on over epochs; every epoch has an order of its own.
  std::vector<MicroBatchSamples> at(std::int64_t step) const {
    const SampleOrder order(samples_.size(), seed_, static_cast<std::uint32_t>(step / per_epoch()));
    const std::size_t begin = static_cast<std::size_t>(step % per_epoch()) * global_;
    std::vector<const Sample*> chosen;
    for (std::size_t i = begin; i < std::min(begin + global_, samples_.size()); ++i)
      chosen.push_back(&samples_[order[i]]);
    return cut_micro_batches(chosen, micro_);
  }

 private:
  const std::vector<Sample>& samples_;
  std::size_t global_;
  std::int64_t micro_;
  std::uint64_t seed_;
};

}  // namespace shardlora
