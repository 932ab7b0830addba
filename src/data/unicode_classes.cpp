#include "data/unicode_classes.h"

#include <vector>

namespace shardlora {
namespace {

struct Range {
  std::uint32_t first, last;
};

// Written by scripts/generate_unicode_classes.py: kLetterRanges, kNumberRanges, kSpaceRanges, kNumericRanges.
#include "data/unicode_classes.inc"

constexpr std::uint32_t kCodePoints = 0x110000;

std::vector<std::uint8_t> make_table() {
  std::vector<std::uint8_t> table(kCodePoints, kOther);
  const auto mark = [&](const auto& ranges, std::uint8_t unicode_class) {
    for (const Range& range : ranges)
      for (std::uint32_t c = range.first; c <= range.last; ++c)
        table[c] = static_cast<std::uint8_t>(table[c] | unicode_class);
  };
  mark(kLetterRanges, kLetter);
  mark(kNumberRanges, kNumber);
  mark(kSpaceRanges, kSpace);
  mark(kNumericRanges, kNumeric);
  return table;
}

}  // namespace

std::uint8_t classes_of(std::uint32_t code_point) {
  static const std::vector<std::uint8_t> table = make_table();
  return code_point < kCodePoints ? table[code_point] : static_cast<std::uint8_t>(kOther);
}

}  // namespace shardlora
