#include "batch/training_steps.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "batch/order.h"

namespace shardlora {

TrainingSteps::TrainingSteps(const std::vector<Sample>& samples, const BatchOptions& options)
    : samples_(samples), options_(options) {
  CHECK(!samples.empty(), "no samples to make steps of");
  CHECK(options.pack_to == 0 || !options.group_by_length, "packed rows are not grouped");
  for (const Sample& s : samples) lengths_.push_back(static_cast<std::uint32_t>(s.tokens.size()));
}

std::int64_t TrainingSteps::of_epoch(std::int64_t epoch) {
  const auto distinct = static_cast<std::size_t>(epoch % kDistinctEpochs);
  while (steps_of_.size() <= distinct) {
    const auto rows = static_cast<std::int64_t>(plan(std::ssize(steps_of_)).rows());
    steps_of_.push_back((rows + options_.global_batch_size - 1) / options_.global_batch_size);
  }
  return steps_of_[distinct];
}

std::int64_t TrainingSteps::of_epochs(double epochs) {
  const auto whole = static_cast<std::int64_t>(std::floor(epochs));
  std::int64_t steps = 0;
  for (std::int64_t e = 0; e < whole; ++e) steps += of_epoch(e);
  const double rest = epochs - static_cast<double>(whole);
  if (rest > 0) steps += static_cast<std::int64_t>(std::ceil(rest * static_cast<double>(of_epoch(whole))));
  return steps;
}

StepBatch TrainingSteps::at(std::int64_t step) {
  while (begins_.back() <= step) begins_.push_back(begins_.back() + of_epoch(std::ssize(begins_) - 1));
  const auto next = std::upper_bound(begins_.begin(), begins_.end(), step);
  const std::int64_t epoch = next - begins_.begin() - 1, place = step - *(next - 1), steps = *next - *(next - 1);
  const RowPlan& rows = plan(epoch);
  const auto begin = static_cast<std::size_t>(place * options_.global_batch_size);
  const std::size_t end = std::min(begin + static_cast<std::size_t>(options_.global_batch_size), rows.rows());
  std::vector<SampleRefs> chosen;
  for (std::size_t r = begin; r < end; ++r) chosen.push_back(row(rows, r));
  return {.micro_batches = cut_micro_batches(std::move(chosen), options_.micro_batch),
          .epoch = epoch,
          .epochs_done = static_cast<double>(epoch) + static_cast<double>(place + 1) / static_cast<double>(steps),
          .ends_epoch = place + 1 == steps};
}

StepLimits TrainingSteps::limits(std::int64_t steps) {
  StepLimits limits;
  for (std::int64_t s = 0; s < steps; ++s) {
    const StepBatch step = at(s);
    if (step.epoch == kDistinctEpochs) break;
    include_step(limits, step.micro_batches);
  }
  return limits;
}

double TrainingSteps::packing_efficiency() {
  const double tokens = static_cast<double>(std::accumulate(lengths_.begin(), lengths_.end(), std::int64_t{0}));
  return tokens / (static_cast<double>(plan(0).rows()) * static_cast<double>(options_.pack_to));
}

double TrainingSteps::samples_per_row() {
  return static_cast<double>(samples_.size()) / static_cast<double>(plan(0).rows());
}

const RowPlan& TrainingSteps::plan(std::int64_t epoch) {
  epoch %= kDistinctEpochs;
  if (planned_ == epoch) return plan_;
  const SampleOrder order(samples_.size(), options_.seed, static_cast<std::uint32_t>(epoch));
  std::vector<std::uint32_t> samples;
  samples.reserve(samples_.size());
  for (std::size_t i = 0; i < samples_.size(); ++i) samples.push_back(static_cast<std::uint32_t>(order[i]));
  if (options_.pack_to > 0)
    plan_ = pack_first_fit(samples, lengths_, static_cast<std::uint32_t>(options_.pack_to));
  else if (options_.group_by_length)
    plan_ = grouped(std::move(samples), static_cast<std::uint32_t>(epoch));
  else {
    plan_.samples = std::move(samples);
    plan_.bounds.resize(plan_.samples.size() + 1);
    std::iota(plan_.bounds.begin(), plan_.bounds.end(), 0U);
  }
  planned_ = epoch;
  return plan_;
}

RowPlan TrainingSteps::grouped(std::vector<std::uint32_t> order, std::uint32_t epoch) const {
  constexpr std::uint64_t kStream = 0x9E3779B97F4A7C15;  // keeps these orders apart from the samples'
  const auto step = static_cast<std::size_t>(options_.global_batch_size);
  const std::size_t window = std::max<std::size_t>(1, kPackingWindow / step) * step;  // whole steps
  RowPlan plan;
  for (std::size_t begin = 0; begin < order.size(); begin += window) {
    const std::size_t count = std::min(window, order.size() - begin), whole_steps = count / step;
    const auto first = order.begin() + static_cast<std::ptrdiff_t>(begin);
    std::stable_sort(first, first + static_cast<std::ptrdiff_t>(count),
                     [&](std::uint32_t a, std::uint32_t b) { return lengths_[a] > lengths_[b]; });
    const SampleOrder steps(whole_steps, options_.seed + kStream * (begin / window + 1), epoch);
    for (std::size_t s = 0; s < whole_steps; ++s) {
      const auto from = first + static_cast<std::ptrdiff_t>(steps[s] * step);
      plan.samples.insert(plan.samples.end(), from, from + static_cast<std::ptrdiff_t>(step));
    }
    plan.samples.insert(plan.samples.end(), first + static_cast<std::ptrdiff_t>(whole_steps * step),
                        first + static_cast<std::ptrdiff_t>(count));  // the epoch's last step
  }
  plan.bounds.resize(plan.samples.size() + 1);
  std::iota(plan.bounds.begin(), plan.bounds.end(), 0U);
  return plan;
}

SampleRefs TrainingSteps::row(const RowPlan& plan, std::size_t r) const {
  SampleRefs samples;
  for (const std::uint32_t s : plan.row(r)) samples.push_back(&samples_[s]);
  return samples;
}

}  // namespace shardlora
