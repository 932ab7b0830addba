// The order of samples: a keyed permutation of 0 .. n-1, one for every (seed, epoch), computed at any position without
// state: a Feistel network with Philox as its round function over the next power of four, walked until it lands inside
// (cycle walking; Black & Rogaway, "Ciphers with arbitrary finite domains", 2002). Also deals rows to training and
// validation.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "base/philox.h"

namespace shardlora {

class SampleOrder {
 public:
  SampleOrder(std::uint64_t samples, std::uint64_t seed, std::uint32_t epoch)
      : samples_(samples),
        key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        epoch_(epoch) {
    const int bits = samples < 2 ? 0 : static_cast<int>(std::bit_width(samples - 1));
    half_bits_ = (bits + 1) / 2;
  }
  std::uint64_t size() const { return samples_; }

  // The sample at `position` of the epoch.
  std::uint64_t operator[](std::uint64_t position) const {
    CHECK(position < samples_, "position {} of {} samples", position, samples_);
    if (samples_ == 1) return 0;
    std::uint64_t x = position;
    do x = permute(x);
    while (x >= samples_);  // ends: x came from inside, so its cycle does
    return x;
  }

 private:
  static constexpr std::uint32_t kRounds = 8;

  std::uint64_t permute(std::uint64_t x) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    std::uint64_t left = x >> half_bits_, right = x & mask;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
      const PhiloxBlock f = philox(key_, {static_cast<std::uint32_t>(right), kStream, epoch_, round});
      const std::uint64_t mixed = (left ^ f.v[0]) & mask;
      left = right;
      right = mixed;
    }
    return left << half_bits_ | right;
  }

  static constexpr std::uint32_t kStream = 0x0D0E0A11;  // keeps these draws apart from other uses of the seed
  std::uint64_t samples_;
  PhiloxKey key_;
  std::uint32_t epoch_;
  int half_bits_ = 0;
};

// Which rows train and which validate, both ascending.
struct Split {
  std::vector<std::uint64_t> train, validation;
};

// `val_set_size` below 1 is a fraction (rounded to the nearest row, at least one), from 1 on a number of rows.
inline Split split_rows(std::uint64_t rows, double val_set_size, std::uint64_t seed) {
  std::uint64_t held_out = static_cast<std::uint64_t>(val_set_size);
  if (val_set_size > 0 && val_set_size < 1)
    held_out =
        std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::llround(val_set_size * static_cast<double>(rows))));
  if (held_out > 0 && held_out >= rows)
    fail("val_set_size: {} of {} rows would leave none to train on; make it smaller or add rows", held_out, rows);
  constexpr std::uint32_t kSplitEpoch = 0xFFFFFFFF;  // no epoch of training
  const SampleOrder order(rows, seed, kSplitEpoch);
  Split split;
  for (std::uint64_t i = 0; i < rows; ++i) (i < held_out ? split.validation : split.train).push_back(order[i]);
  std::sort(split.train.begin(), split.train.end());
  std::sort(split.validation.begin(), split.validation.end());
  return split;
}

}  // namespace shardlora
