#include "train/sample_batches.h"

#include <algorithm>
#include <numeric>

#include "data/packing.h"

namespace shardlora {
namespace {

void append(MicroBatchSamples& to, const SampleRow& row) { to.insert(to.end(), row.begin(), row.end()); }

std::vector<MicroBatchSamples> cut_by_tokens(std::vector<SampleRow> rows, std::int64_t budget) {
  std::stable_sort(rows.begin(), rows.end(),
                   [](const SampleRow& a, const SampleRow& b) { return total_tokens(a) < total_tokens(b); });
  std::vector<MicroBatchSamples> cut;
  std::int64_t held = 0;
  for (const SampleRow& row : rows) {
    const std::int64_t tokens = total_tokens(row);
    if (cut.empty() || held + tokens > budget) {
      cut.emplace_back();
      held = 0;
    }
    append(cut.back(), row);
    held += tokens;
  }
  return cut;
}

}  // namespace

std::vector<MicroBatchSamples> cut_micro_batches(std::vector<SampleRow> rows, const MicroBatchSize& size) {
  if (size.tokens > 0) return cut_by_tokens(std::move(rows), size.tokens);
  std::vector<MicroBatchSamples> cut;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i % static_cast<std::size_t>(size.rows) == 0) cut.emplace_back();
    append(cut.back(), rows[i]);
  }
  return cut;
}

std::vector<SampleRow> rows_of(const std::vector<Sample>& samples, std::int64_t pack_to) {
  std::vector<SampleRow> rows;
  if (pack_to == 0) {
    for (const Sample& s : samples) rows.push_back({&s});
    return rows;
  }
  std::vector<std::uint32_t> order(samples.size()), lengths;
  std::iota(order.begin(), order.end(), 0U);
  for (const Sample& s : samples) lengths.push_back(static_cast<std::uint32_t>(s.tokens.size()));
  const RowPlan plan = pack_first_fit(order, lengths, static_cast<std::uint32_t>(pack_to));
  for (std::size_t r = 0; r < plan.rows(); ++r) {
    rows.emplace_back();
    for (const std::uint32_t s : plan.row(r)) rows.back().push_back(&samples[s]);
  }
  return rows;
}

void include_step(StepLimits& limits, const std::vector<MicroBatchSamples>& micro_batches) {
  limits.micro_batches = std::max(limits.micro_batches, std::ssize(micro_batches));
  include_evaluation(limits, micro_batches);
}

// Any number of micro-batches is evaluated, some at a time.
void include_evaluation(StepLimits& limits, const std::vector<MicroBatchSamples>& micro_batches) {
  for (const MicroBatchSamples& samples : micro_batches) {
    limits.rows = std::max(limits.rows, padded_rows(total_tokens(samples)));
    limits.samples = std::max(limits.samples, std::ssize(samples));
  }
}

}  // namespace shardlora
