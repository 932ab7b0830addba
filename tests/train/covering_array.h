// Few combinations of settings in which any two levels of two axes meet: most faults need no more than two.
#pragma once

#include <cstddef>
#include <numeric>
#include <vector>

namespace shardlora {

using Levels = std::vector<std::size_t>;  // one of each axis

// Of `counts` levels of each axis. Greedy and without chance: every row begins with the first pair that no row has yet,
// then each axis in turn takes the level that completes the most new pairs with those chosen before it.
inline std::vector<Levels> covering_array(const Levels& counts) {
  const std::size_t axes = counts.size();
  constexpr std::size_t kOpen = static_cast<std::size_t>(-1);
  std::vector<std::size_t> first(axes);  // of each axis' levels, numbered through
  std::exclusive_scan(counts.begin(), counts.end(), first.begin(), std::size_t{0});
  const std::size_t all = axes == 0 ? 0 : first.back() + counts.back();
  std::vector<char> covered(all * all);
  const auto is_new = [&](std::size_t a, std::size_t level, std::size_t b, std::size_t other) {
    return covered[(first[a] + level) * all + first[b] + other] == 0;
  };
  const auto new_pairs = [&](const Levels& row, std::size_t axis, std::size_t level) {
    std::size_t count = 0;
    for (std::size_t b = 0; b < axes; ++b)
      if (b != axis && row[b] != kOpen && is_new(axis, level, b, row[b])) ++count;
    return count;
  };
  const auto begin_row = [&](Levels& row) {
    for (std::size_t a = 0; a < axes; ++a)
      for (std::size_t b = a + 1; b < axes; ++b)
        for (std::size_t i = 0; i < counts[a]; ++i)
          for (std::size_t j = 0; j < counts[b]; ++j)
            if (is_new(a, i, b, j)) {
              row[a] = i;
              row[b] = j;
              return true;
            }
    return false;
  };

  std::vector<Levels> rows;
  for (Levels row(axes, kOpen); begin_row(row); row.assign(axes, kOpen)) {
    for (std::size_t a = 0; a < axes; ++a) {
      if (row[a] != kOpen) continue;
      // Among equals another one in every row, so that levels are used evenly.
      std::size_t best = rows.size() % counts[a], most = new_pairs(row, a, best);
      for (std::size_t level = 0; level < counts[a]; ++level)
        if (const std::size_t pairs = new_pairs(row, a, level); pairs > most) {
          best = level;
          most = pairs;
        }
      row[a] = best;
    }
    for (std::size_t a = 0; a < axes; ++a)
      for (std::size_t b = 0; b < axes; ++b) covered[(first[a] + row[a]) * all + first[b] + row[b]] = 1;
    rows.push_back(row);
  }
  return rows;
}

}  // namespace shardlora
