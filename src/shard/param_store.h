// Parameters at rest, in segments that each rest somewhere by themselves. Of every unit a rank holds its share, or all
// of it: a run of pages of the packed frozen bytes, in device memory, in pinned host memory or on disk; and a run of
// elements of the trainable part as f32 masters, gradient and optimiser state, in device or pinned host memory. Nothing
// here moves but by a call. All units' shares of a segment lie in one buffer a tier: a GPU gives memory in pieces of
// 2 MiB, which a buffer a unit would waste.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "backend/device.h"
#include "comm/communicator.h"
#include "param/layout.h"

namespace shardlora {

// Values of optimiser state for each element that trains; what they are the update rule says (train/optimizer.h).
inline constexpr std::int64_t kStateTensors = 2;

// This rank's run of a unit's n trainable elements, all f32. Of what rests on disk there are shapes only.
struct TrainableShare {
  Tensor master, gradient;  // (n)
  Tensor state;             // (kStateTensors, n)
};

// Reads bytes of a unit's frozen part, from `begin` on, from the disk into host memory. Called from streams' threads,
// one at a time.
using ReadFrozen = std::function<void(std::size_t unit, std::size_t begin, std::span<std::byte> out)>;

class ParamStore {
 public:
  // Specs must outlive the store. `residences`: where the units rest, one each, the same on every rank. A store whose
  // segments all rest on disk takes no memory: what can be asked of it are layouts and cuts.
  ParamStore(Device& device, int rank, int ranks, const std::vector<UnitSpec>& units,
             const std::vector<UnitResidence>& residences);
  ParamStore(Device& device, int rank, int ranks, const std::vector<UnitSpec>& units, Residence frozen = {})
      : ParamStore(device, rank, ranks, units, std::vector<UnitResidence>(units.size(), {.frozen = frozen})) {}

  std::size_t units() const { return units_.size(); }
  const UnitLayout& layout(std::size_t unit) const { return units_[unit].layout; }
  const UnitResidence& residence(std::size_t unit) const { return units_[unit].residence; }
  Tier tier(std::size_t unit) const { return residence(unit).frozen.tier; }  // of the frozen bytes

  // Whether the whole unit rests here, as on every rank, and not a share of it.
  bool whole(std::size_t unit) const { return ranks_ == 1 || residence(unit).frozen.sharding == Sharding::kReplicated; }
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

  // In whose order gradients come to the host and are used there; only where something that trains rests on the host.
  Stream& host() const;
  bool uses_host() const { return host_ != nullptr; }
  // When a unit's masters are as its last update left them; of masters on the device compute() knows.
  Event updated(std::size_t unit) const { return units_[unit].updated; }
  void set_updated(std::size_t unit, Event event) { units_[unit].updated = event; }

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
  // Takes the own share out of a unit's trainable elements, the same on every rank; gradient and state start at zero.
  // Blocks.
  void set_trainable(std::size_t unit, const float* elements);
  // This rank's masters of a unit, as their last update left them, to and from pinned memory. Blocks.
  void read_masters(std::size_t unit, std::byte* to) const;
  void write_masters(std::size_t unit, const std::byte* from);
  // Rank `root` gets all trainable elements of the unit, f32 in pinned memory; the other ranks send their shares, and
  // get an empty Buffer. Collective; blocks.
  Buffer gather_trainable(std::size_t unit, int root, Communicator& comm) const;

 private:
  struct Unit {
    Unit(const UnitSpec& spec, const UnitResidence& where) : layout(spec), residence(where) {}
    UnitLayout layout;
    UnitResidence residence;
    std::vector<std::size_t> frozen_cuts, element_cuts;
    std::byte* frozen = nullptr;
    TrainableShare share;
    Event updated{};
  };
  // All units' bytes of a segment, by tier.
  class Segment {
   public:
    // Room for a unit, once memory is taken: where it begins.
    std::size_t add(Tier tier, std::size_t bytes);
    void allocate(Device& device, Purpose purpose);
    std::byte* at(Tier tier, std::size_t offset) const;  // null on disk

   private:
    std::array<std::size_t, kAllocatedTiers> bytes_{};
    std::array<Buffer, kAllocatedTiers> buffers_;
  };
  // At once: what is under way in the streams is done before.
  void copy_masters(const Unit& unit, std::byte* to, const std::byte* from) const;
  void zero(Tensor tensor, Tier tier) const;

  Device& device_;
  int rank_, ranks_;
  std::vector<Unit> units_;
  ReadFrozen read_;
  Segment frozen_, masters_, gradients_, state_;
  std::unique_ptr<Stream> host_;  // last: what is under way in it uses the memory above
};

}  // namespace shardlora
