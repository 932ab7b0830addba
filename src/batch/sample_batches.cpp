#include "batch/sample_batches.h"

#include <algorithm>
#include <numeric>

#include "batch/batch_buffers.h"
#include "batch/packing.h"

namespace shardlora {
namespace {

void append(SampleRefs& to, const SampleRefs& row) { to.insert(to.end(), row.begin(), row.end()); }

std::vector<SampleRefs> cut_by_tokens(std::vector<SampleRefs> rows, std::int64_t budget) {
  std::stable_sort(rows.begin(), rows.end(),
                   [](const SampleRefs& a, const SampleRefs& b) { return total_tokens(a) < total_tokens(b); });
  std::vector<SampleRefs> cut;
  std::int64_t held = 0;
  for (const SampleRefs& row : rows) {
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

std::vector<SampleRefs> cut_micro_batches(std::vector<SampleRefs> rows, const MicroBatchSize& size) {
  if (size.tokens > 0) return cut_by_tokens(std::move(rows), size.tokens);
  std::vector<SampleRefs> cut;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i % static_cast<std::size_t>(size.rows) == 0) cut.emplace_back();
    append(cut.back(), rows[i]);
  }
  return cut;
}

std::vector<SampleRefs> rows_of(const std::vector<Sample>& samples, std::int64_t pack_to) {
  std::vector<SampleRefs> rows;
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

void include_step(StepLimits& limits, const std::vector<SampleRefs>& micro_batches) {
  limits.micro_batches = std::max(limits.micro_batches, std::ssize(micro_batches));
  include_evaluation(limits, micro_batches);
}

// Any number of micro-batches is evaluated, some at a time.
void include_evaluation(StepLimits& limits, const std::vector<SampleRefs>& micro_batches) {
  for (const SampleRefs& samples : micro_batches) {
    limits.rows = std::max(limits.rows, padded_rows(total_tokens(samples)));
    limits.samples = std::max(limits.samples, std::ssize(samples));
  }
}

}  // namespace shardlora
