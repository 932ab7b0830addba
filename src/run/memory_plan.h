// Where everything rests that is larger than a card: what a recipe leaves open is chosen by trying.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "recipe/recipe.h"
#include "shard/layer_streamer.h"
#include "train/step.h"

namespace shardlora {

struct MemoryPlan {
  std::vector<Residence> frozen;   // of the units
  Tier optimizer = Tier::kDevice;  // where masters, gradients and optimiser state rest, and are updated
  Decode decode = Decode::kUnit;
  // Of training steps.
  std::vector<Recompute> recompute;  // of the layers
  Tier layer_inputs = Tier::kDevice;
  std::int64_t wave = 1;  // micro-batches of a rank that share a visit
};

// What there is to share out.
struct MemoryDemand {
  std::size_t units = 0;  // of the model: embedding, layers, and perhaps a head
  std::int64_t layers = 0;
  std::int64_t wave = 1;  // micro-batches of a rank in the largest step
  int ranks = 1;
  bool disk = true;  // whether units may rest there
};

// Whether a run fits as planned. The same answer on every rank.
using Fits = std::function<bool(const MemoryPlan&)>;

// The first plan that fits. From the fastest on: all of the base on every rank, or shares; activations kept, or all but
// the cheap ones, or those of as many layers as there is room for; layer inputs on the device, or in host memory; a
// unit's weights decoded at once, or one by one; what trains and its optimiser state on the device, or in host memory;
// then layers, from the last one on, in host memory or on disk, as few as may be; then all of the base; then smaller
// waves; then all of that with layer inputs on disk. What the recipe decides stays as it is. Nothing where no plan
// fits.
std::optional<MemoryPlan> choose_memory(const Recipe& recipe, const MemoryDemand& demand, const Fits& fits);

// Where each unit of a store rests.
std::vector<UnitResidence> residences(const MemoryPlan& plan);
// OutOfMemory where `ranks` of this machine that each took the peaks of both tiers would take more than the `available`
// bytes: on a CPU, where both are the machine's memory and a limit may promise more than that has.
void check_available(const MemoryUse& device, const MemoryUse& host, std::uint64_t available, int ranks);

// "base shared out, 20 of 32 layers in host memory; activations kept"
std::string memory_text(const MemoryPlan& plan, const MemoryDemand& demand);
// What a pass over the model in the order `visits`, so every token of an answer, brings to the device: "every token
// takes 12.40 GB from host memory and 3.20 GB from the disk, on each of 2 ranks". Empty where the base rests on the
// device.
std::string offload_text(const ParamStore& store, const std::vector<std::size_t>& visits, int ranks);

}  // namespace shardlora
