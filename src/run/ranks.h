// Who computes where: the ranks of a job, the device of this one, and what all of them can compute in.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/device.h"
#include "comm/host_exchange.h"
#include "comm/rendezvous.h"
#include "recipe/recipe.h"

namespace shardlora {

// The ranks of this job and the device of this one. Destroyed by an exception, it ends what the other ranks wait for.
struct Ranks {
  Ranks(Rendezvous& rendezvous, const Recipe& recipe);
  ~Ranks();
  int rank() const { return reductions->rank(); }
  int size() const { return reductions->size(); }
  bool first() const { return rank() == 0; }
  // Everybody's numbers, by rank. Blocks.
  std::vector<std::vector<double>> exchange(const std::vector<double>& mine);

  Rendezvous& rendezvous;  // outlives it
  std::unique_ptr<Device> device;
  std::vector<std::string> devices, numerics;  // what each rank's is, by rank, and what its last bits depend on
  std::unique_ptr<Communicator> gathers, reductions;

 private:
  std::optional<HostExchange> numbers_;
};

// The same on all ranks: the first of bf16 and f16 that is asked for and there, or, where that is left open, that all
// ranks are fast in; else f32. Collective.
DType compute_dtype(const Recipe& recipe, Ranks& ranks);

}  // namespace shardlora
