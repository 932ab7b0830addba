// Parameters at rest. Of every unit a rank holds its share: a run of pages of the packed frozen bytes, and a run of
// elements of the trainable part as f32 masters with gradient and AdamW moments. Nothing here moves but by a call. All
// units' shares of a kind lie in one buffer: a GPU gives memory in pieces of 2 MiB, which a buffer a unit would waste.
#pragma once

#include <utility>
#include <vector>

#include "backend/device.h"
#include "comm/communicator.h"
#include "param/layout.h"

namespace shardlora {

// This rank's run of a unit's trainable elements, all f32 of the same length.
struct TrainableShare {
  Tensor master, gradient, m, v;
};

class ParamStore {
 public:
  // Specs must outlive the store.
  ParamStore(Device& device, int rank, int ranks, const std::vector<UnitSpec>& units, Residence residence);

  std::size_t units() const { return units_.size(); }
  const UnitLayout& layout(std::size_t unit) const { return units_[unit].layout; }
  Residence residence() const { return residence_; }

  // Frozen bytes: what rests here, and where each rank's share lies in the whole (W + 1 offsets). As many bytes rest of
  // each rank's share as of the first one's, so that gathers take them as they lie.
  std::byte* frozen(std::size_t unit) const { return frozen_.data() + units_[unit].frozen_offset; }
  const std::vector<std::size_t>& frozen_cuts(std::size_t unit) const { return units_[unit].frozen_cuts; }
  // Whether whole units rest here, on every rank alike, so that they are used in place.
  bool whole() const { return ranks_ == 1 || residence_.sharding == Sharding::kReplicated; }
  // Bytes of every rank's share, with padding.
  std::size_t frozen_share(std::size_t unit) const { return units_[unit].frozen_cuts[1]; }

  TrainableShare trainable(std::size_t unit) const { return units_[unit].share; }
  // In elements, W + 1 offsets; and of every rank's share with padding, for which each of its tensors has room.
  const std::vector<std::size_t>& element_cuts(std::size_t unit) const { return units_[unit].element_cuts; }
  std::size_t element_share(std::size_t unit) const { return units_[unit].element_cuts[1]; }

  // Takes the own share out of a unit's packed bytes that only rank `root` has (`flat` is null elsewhere). Collective.
  void scatter_frozen(std::size_t unit, int root, const std::byte* flat, Communicator& comm);
  // Which of a unit's packed bytes rest here, [first, second), and their values, from host memory. Blocks.
  std::pair<std::size_t, std::size_t> resting(std::size_t unit) const;
  void set_resting(std::size_t unit, const std::byte* bytes);
  // Takes the own share out of a unit's trainable elements, the same on every rank; moments start at zero.
  void set_trainable(std::size_t unit, const float* elements);
  // Every rank gets all trainable elements of the unit. Collective; blocks.
  void gather_trainable(std::size_t unit, float* elements, Communicator& comm) const;

 private:
  struct Unit {
    explicit Unit(const UnitSpec& spec) : layout(spec) {}
    UnitLayout layout;
    std::vector<std::size_t> frozen_cuts, element_cuts;
    std::size_t frozen_offset = 0, masters_offset = 0;  // of the share in the buffers below, at whole pages
    TrainableShare share;
  };

  Device& device_;
  int rank_, ranks_;
  Residence residence_;
  std::vector<Unit> units_;
  Buffer frozen_, masters_, gradients_, moments_;  // moments: twice as many, a unit's m and v one behind the other
};

}  // namespace shardlora
