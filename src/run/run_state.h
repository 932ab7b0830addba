// What changes as a run goes on, beside the trainable parameters, the optimiser's state of each and, with
// load_best_model_at_end, the best ones so far: with those it is all that a run needs to go on from here.
#pragma once

#include <cstdint>

#include "run/evaluation.h"
#include "train/loss_scale.h"

namespace shardlora {

struct RunState {
  std::int64_t steps = 0;    // done; the rows of the next one follow from it
  std::int64_t updates = 0;  // a step that is skipped moves neither the learning rate nor AdamW's count
  LossScale loss_scale;
  EarlyStopping early_stopping;
};

}  // namespace shardlora
