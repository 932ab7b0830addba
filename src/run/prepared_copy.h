// A model that has to be quantised is quantised once: its prepared base is kept, and later runs read their shares of
// it.
#pragma once

#include <optional>

#include "checkpoint/base_model.h"
#include "run/ranks.h"

namespace shardlora {

// The prepared base of `source` in the formats of a settled quantization: made now where it is not kept yet, after its
// size was said. Nothing where none is to be kept (Recipe::base_prepared_path, and what is small, is quantised already
// or would not be quantised), ranks of several hosts that share no folder included. Collective.
std::optional<BaseModel> prepared_copy(Ranks& ranks, const Recipe& recipe, const Quantization& settled,
                                       const BaseModel& source);

}  // namespace shardlora
