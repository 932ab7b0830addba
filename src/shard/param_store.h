// Parameters at rest. Of every unit a rank holds its share, or all of it: a run of pages of the packed frozen bytes, in
// device memory, in pinned host memory or on disk, and a run of elements of the trainable part as f32 masters with
// gradient and AdamW moments. Nothing here moves but by a call. All units' shares of a kind lie in one buffer: a GPU
// gives memory in pieces of 2 MiB, which a buffer a unit would waste.
#pragma once

#include <functional>
#include <span>
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

// Reads bytes of a unit's frozen part, from `begin` on, from the disk into host memory. Called from streams' threads,
// one at a time.
using ReadFrozen = std::function<void(std::size_t unit, std::size_t begin, std::span<std::byte> out)>;

class ParamStore {
 public:
  // Specs must outlive the store. `frozen`: where the units' frozen bytes rest, one each, the same on every rank.
  ParamStore(Device& device, int rank, int ranks, const std::vector<UnitSpec>& units,
             const std::vector<Residence>& frozen);
  ParamStore(Device& device, int rank, int ranks, const std::vector<UnitSpec>& units, Residence frozen = {})
      : ParamStore(device, rank, ranks, units, std::vector<Residence>(units.size(), frozen)) {}

  std::size_t units() const { return units_.size(); }
  const UnitLayout& layout(std::size_t unit) const { return units_[unit].layout; }
  Tier tier(std::size_t unit) const { return units_[unit].residence.tier; }

  // Whether the whole unit rests here, as on every rank, and not a share of it.
  bool whole(std::size_t unit) const { return ranks_ == 1 || units_[unit].residence.sharding == Sharding::kReplicated; }
  // Whether it is used where it rests.
  bool in_place(std::size_t unit) const { return whole(unit) && tier(unit) == Tier::kDevice; }
  // Frozen bytes: what rests in memory here (null: on disk), and where each rank's share lies in the whole (W + 1
  // offsets). As many bytes rest of each rank's share as of the first one's, so that gathers take them as they lie.
  std::byte* frozen(std::size_t unit) const { return units_[unit].frozen; }
  const std::vector<std::size_t>& frozen_cuts(std::size_t unit) const { return units_[unit].frozen_cuts; }
  // Bytes of every rank's share, with padding.
  std::size_t frozen_share(std::size_t unit) const { return units_[unit].frozen_cuts[1]; }

  TrainableShare trainable(std::size_t unit) const { return units_[unit].share; }
  // In elements, W + 1 offsets; and of every rank's share with padding, for which each of its tensors has room.
  const std::vector<std::size_t>& element_cuts(std::size_t unit) const { return units_[unit].element_cuts; }
  std::size_t element_share(std::size_t unit) const { return units_[unit].element_cuts[1]; }

  // Takes what rests in memory here out of a unit's packed bytes that only rank `root` has (`flat` is null elsewhere).
  // Collective.
  void scatter_frozen(std::size_t unit, int root, const std::byte* flat, Communicator& comm);
  // Which of a unit's packed bytes rest here, [first, second); some of them put where they rest, from `begin` on.
  // Blocks.
  std::pair<std::size_t, std::size_t> resting(std::size_t unit) const;
  void set_resting(std::size_t unit, std::size_t begin, std::span<const std::byte> bytes);
  // From where units on disk are read, from now on.
  void set_disk(ReadFrozen read) { read_ = std::move(read); }
  void read(std::size_t unit, std::size_t begin, std::span<std::byte> out) const { read_(unit, begin, out); }
  // Takes the own share out of a unit's trainable elements, the same on every rank; moments start at zero.
  void set_trainable(std::size_t unit, const float* elements);
  // Rank `root` gets all trainable elements of the unit, f32 in pinned memory; the other ranks send their shares, and
  // get an empty Buffer. Collective; blocks.
  Buffer gather_trainable(std::size_t unit, int root, Communicator& comm) const;

 private:
  struct Unit {
    Unit(const UnitSpec& spec, Residence where) : layout(spec), residence(where) {}
    UnitLayout layout;
    Residence residence;
    std::vector<std::size_t> frozen_cuts, element_cuts;
    std::size_t frozen_offset = 0, masters_offset = 0;  // in the buffers below, at whole pages
    std::byte* frozen = nullptr;
    TrainableShare share;
  };

  Device& device_;
  int rank_, ranks_;
  std::vector<Unit> units_;
  ReadFrozen read_;
  Buffer on_device_, on_host_;            // frozen bytes
  Buffer masters_, gradients_, moments_;  // moments: twice as many, a unit's m and v one behind the other
};

}  // namespace shardlora
