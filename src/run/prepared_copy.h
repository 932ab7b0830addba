// A model that has to be quantised is quantised once: its prepared base is kept, and later runs read their shares of
// it.
#pragma once

#include <memory>

#include "checkpoint/base_model.h"
#include "run/ranks.h"

namespace shardlora {

// Whether units rest on disk, which only a prepared base does for them.
enum class Needed : std::uint8_t { kNo, kYes };

// The prepared base of `source` in the formats of a settled quantization: made now where it is not kept yet, after its
// size was said. Null where `source` is one, or none is to be kept (Recipe::base_prepared_path, and what is small, is
// quantised already or would not be quantised; ranks of several hosts that share no folder), or where it cannot be made
// (a full disk, a folder that cannot be written: a warning, and nothing of it is left); where it is needed that is an
// Error. Collective.
std::unique_ptr<const BaseModel> prepared_copy(Ranks& ranks, const Recipe& recipe, const Quantization& settled,
                                               const BaseModel& source, Needed needed);

}  // namespace shardlora
