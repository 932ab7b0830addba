// The order in which passes over a model visit its units: the schedules of the streamer.
#pragma once

#include <vector>

#include "models/model_spec.h"

namespace shardlora {

// Evaluation and generation: embedding, layers, head.
std::vector<std::size_t> forward_visits(const ModelSpec& model);
// Training: the same, then the layers backwards, then the embedding where it trains.
std::vector<std::size_t> training_visits(const ModelSpec& model);

}  // namespace shardlora
