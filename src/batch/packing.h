// Packing: several samples one after the other in one row, so that rows are nearly full and few. First-fit: each sample
// goes into the first row that still has room for it. Only rows of the same window of samples are tried, so the plan
// is as good as any after a thousand samples and costs the same for any number of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.h"

namespace shardlora {

inline constexpr std::size_t kPackingWindow = 1024;  // samples

// Rows as runs of one list: row r holds samples[bounds[r]] .. samples[bounds[r + 1] - 1].
struct RowPlan {
  std::vector<std::uint32_t> samples;
  std::vector<std::uint32_t> bounds{0};

  std::size_t rows() const { return bounds.size() - 1; }
  std::span<const std::uint32_t> row(std::size_t r) const {
    return std::span(samples).subspan(bounds[r], bounds[r + 1] - bounds[r]);
  }
};

// `order`: the samples in the order in which they come; lengths[s]: tokens of sample s, at most `capacity`.
inline RowPlan pack_first_fit(std::span<const std::uint32_t> order, std::span<const std::uint32_t> lengths,
                              std::uint32_t capacity) {
  RowPlan plan;
  plan.samples.reserve(order.size());
  for (std::size_t begin = 0; begin < order.size(); begin += kPackingWindow) {
    const auto window = order.subspan(begin, std::min(kPackingWindow, order.size() - begin));
    std::vector<std::vector<std::uint32_t>> rows;
    std::vector<std::uint32_t> room;
    for (const std::uint32_t sample : window) {
      CHECK(lengths[sample] <= capacity, "a sample of {} tokens for rows of {}", lengths[sample], capacity);
      const auto fits = [&](std::uint32_t left) { return lengths[sample] <= left; };
      const auto first = static_cast<std::size_t>(std::find_if(room.begin(), room.end(), fits) - room.begin());
      if (first == room.size()) {
        rows.emplace_back();
        room.push_back(capacity);
      }
      rows[first].push_back(sample);
      room[first] -= lengths[sample];
    }
    for (const auto& row : rows) {
      plan.samples.insert(plan.samples.end(), row.begin(), row.end());
      plan.bounds.push_back(static_cast<std::uint32_t>(plan.samples.size()));
    }
  }
  return plan;
}

}  // namespace shardlora
