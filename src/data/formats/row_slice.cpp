#include "data/formats/row_slice.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace shardlora {
namespace {

std::int64_t row_of(const RowSlice::Bound& bound, std::int64_t rows) {
  if (!bound.percent) return std::min(bound.value, rows);
  // Half to even, as Python's round.
  const double row = std::nearbyint(static_cast<double>(bound.value) * static_cast<double>(rows) / 100);
  return std::min(static_cast<std::int64_t>(row), rows);
}

std::string text_of(const std::optional<RowSlice::Bound>& bound) {
  return bound ? fmt::format("{}{}", bound->value, bound->percent ? "%" : "") : "";
}

// False: no number. Nothing at all is no bound.
bool parse_bound(std::string_view text, std::optional<RowSlice::Bound>& bound) {
  if (text.empty()) return true;
  RowSlice::Bound read;
  read.percent = text.ends_with('%');
  if (read.percent) text.remove_suffix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read.value);
  if (error != std::errc() || end != text.data() + text.size() || read.value < 0) return false;
  if (read.percent && read.value > 100) return false;
  bound = read;
  return true;
}

}  // namespace

std::pair<std::int64_t, std::int64_t> RowSlice::bounds(std::int64_t rows) const {
  const std::int64_t first = from ? row_of(*from, rows) : 0;
  std::int64_t behind = std::max(first, to ? row_of(*to, rows) : rows);
  if (at_most) behind = first + std::min(*at_most, behind - first);
  return {first, behind};
}

std::string RowSlice::split() const {
  return from || to ? fmt::format("train[{}:{}]", text_of(from), text_of(to)) : "";
}

std::optional<RowSlice> parse_row_slice(std::string_view text) {
  RowSlice slice;
  if (text == "train") return slice;
  if (!text.starts_with("train[") || !text.ends_with(']')) return std::nullopt;
  const std::string_view inside = text.substr(6, text.size() - 7);
  const std::size_t colon = inside.find(':');
  if (colon == std::string_view::npos || !parse_bound(inside.substr(0, colon), slice.from) ||
      !parse_bound(inside.substr(colon + 1), slice.to))
    return std::nullopt;
  return slice;
}

}  // namespace shardlora
