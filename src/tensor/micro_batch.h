// One micro-batch as the kernels see it: the tokens of its samples one after the other, without padding between them.
#pragma once

#include <optional>

#include "base/philox.h"
#include "tensor/tensor.h"

namespace shardlora {

inline constexpr std::int64_t kRowGrain =
    16;  // of rows: a micro-batch is padded to a multiple, so that few shapes occur

struct MicroBatch {
  std::int64_t index = 0;    // its place in the step: the leaf of the gradient tree
  std::int64_t longest = 0;  // tokens of the longest sample
  ConstTensor tokens;        // (N) i32
  ConstTensor positions;     // (N) i32, restarting at 0 in every sample
  ConstTensor bounds;        // (S + 1) i32: sample s is rows [bounds[s], bounds[s + 1])
  ConstTensor labelled;      // (K) i32, ascending: the rows whose next token is trained
  ConstTensor targets;       // (K) i32: those next tokens

  // Training that draws random numbers (dropout, NEFTune): what this epoch's draws are keyed on, and every row's
  // sample.
  std::optional<PhiloxKey> noise;
  ConstTensor sample_ids;  // (N) i32

  std::int64_t rows() const { return tokens.dim(0); }
  std::int64_t samples() const { return bounds.dim(0) - 1; }
};

}  // namespace shardlora
