// Which rows of a data set are taken, in the words of Hugging Face's splits: train[:20%], train[100:200].
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace shardlora {

struct RowSlice {
  struct Bound {
    std::int64_t value = 0;
    bool percent = false;
  };
  std::optional<Bound> from{}, to{};      // not given: from the first, to the last
  std::optional<std::int64_t> at_most{};  // max_samples: the first of these
  bool needs_count() const { return (from && from->percent) || (to && to->percent); }
  // The first row and the one behind the last, of so many. Percentages are rounded to the nearest row, as there.
  std::pair<std::int64_t, std::int64_t> bounds(std::int64_t rows) const;
  std::string split() const;  // "train[:20%]", or "" where it is train
};

// Of "train[10%:20%]" or "train"; none where it is no such text.
std::optional<RowSlice> parse_row_slice(std::string_view text);

}  // namespace shardlora
