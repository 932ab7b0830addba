// The order in which passes over a model visit its units: the schedules of the streamer.
#pragma once

#include <vector>

#include "models/model_spec.h"

namespace shardlora {

// Evaluation and generation: embedding, layers, head; tables slice by slice, where they are cut.
std::vector<std::size_t> forward_visits(const ModelSpec& model);
// Training: the same, then all of it backwards, the embedding only where it trains. The last slice of the head, at the
// turn, is visited once.
std::vector<std::size_t> training_visits(const ModelSpec& model);

}  // namespace shardlora
