// Parameters in motion: brings a model's units through the device in a known order. While one unit computes, the next
// one is on its way. A residence is a route of hops, each a stream's: used in place; or what rests here is read from
// the disk, uploaded, and gathered where it is a share, each hop left out that is not needed. The trainable part is
// cast from the masters where they rest, uploaded from there, and gathered after it.
//
// Rules
// 1. The order of collectives is a function of the schedule only, never of timing: every rank visits the same units in
//    the same order.
// 2. A communicator owns its stream, and two kinds of traffic never share one: gathers and reductions have one each.
// 3. One lease at a time. Its destructor frees the slot, it never communicates; an exception unwinds without waiting
//    for peers: the streamer waits for what still lands in its slots or reads them, but ends the gathers with `abort`
//    first.
// 4. Packed bytes travel. Where there is room the last hop decodes a unit into one dense copy that all micro-batches of
//    the visit share, else the model has every matrix decoded when it needs it: the same values.
// 5. The schedule is cyclic: at its end the first unit's frozen bytes are already on their way again, where there is
//    room for both; its trainable part is gathered when it is borrowed, so after the optimiser. A unit that comes again
//    next or next but one (the head, the last layer at the turn) keeps its slot and is not fetched.
// 6. Everything is allocated in the constructor. With poison on, a slot reads as NaN from the end of its lease on.
#pragma once

#include <exception>
#include <optional>
#include <vector>

#include "backend/device.h"
#include "comm/communicator.h"
#include "shard/gradient_reducer.h"
#include "shard/param_store.h"

namespace shardlora {

class LayerStreamer;

enum class Poison : std::uint8_t { kNo, kYes };
enum class Prefetch : std::uint8_t { kNo, kYes };
enum class Decode : std::uint8_t { kUnit, kMatrix };  // what is decoded at a time, and has room for

struct StreamerOptions {
  DType dtype = DType::kF32;  // the compute dtype: of decoded weights and gathered adapters
  Poison poison = Poison::kNo;
  Prefetch prefetch = Prefetch::kYes;  // kNo shows what prefetching is worth
  Decode decode = Decode::kUnit;
  // Of units on disk that the host cannot read into the slots: bytes that are read while those before are uploaded.
  std::size_t staged_block = std::size_t{8} << 20;
};

// One unit on the device for one turn. Work that reads it must be submitted to the compute stream before the lease
// ends.
class Lease {
 public:
  Lease(Lease&& other) noexcept : streamer_(std::exchange(other.streamer_, nullptr)), unit_(other.unit_) {}
  Lease& operator=(Lease&&) = delete;
  ~Lease();

  std::size_t unit() const { return unit_; }
  // Valid until the lease ends.
  UnitView view() const;
  // As view, with where the gradients of micro-batch `leaf` go; ends with `add_leaf(leaf)`.
  UnitView training_view();
  void add_leaf(std::int64_t leaf);

 private:
  friend class LayerStreamer;
  Lease(LayerStreamer* streamer, std::size_t unit) : streamer_(streamer), unit_(unit) {}
  LayerStreamer* streamer_;
  std::size_t unit_;
};

// Whether the unit of visit `visit` of a cyclic schedule comes again next or next but one: it keeps its slot.
inline bool keeps_slot(const std::vector<std::size_t>& schedule, std::size_t visit) {
  const auto at = [&](std::size_t v) { return schedule[v % schedule.size()]; };
  return at(visit + 1) == at(visit) || at(visit + 2) == at(visit);
}

class LayerStreamer final : private WeightDecoder {
 public:
  // `schedules`: every order of visits that `run` will be given, so that the slots are large enough for each.
  LayerStreamer(Device& device, ParamStore& store, Communicator& gathers, GradientReducer* reducer,
                std::vector<std::vector<std::size_t>> schedules, const StreamerOptions& options);
  ~LayerStreamer() override;

  // Starts schedule number `schedule` from its beginning. What was on its way for another one is dropped.
  void run(std::size_t schedule);
  // The next unit of the schedule. Returns at once; the compute stream waits until it is there.
  Lease borrow(std::size_t unit);
  // Takes the lease back and sends the gradients of its wave to their owners.
  void reduce(Lease lease, GradientPart part = GradientPart::kFirst);
  // A unit without its values: views of the right shapes into memory that is there, for a Rehearsal. They hold until
  // the next call; no other rank hears of it.
  UnitView shape_of(std::size_t unit);
  // Waits for the disk, before what was computed with its bytes is told to other ranks: on a card a read that failed
  // stops nothing. Throws what failed.
  void finish_reads();
  // Throws what failed on a unit's way here. What was computed with units counts only when this was called after it.
  void check();

 private:
  friend class Lease;
  // A unit on its way to, or in, one end of the slot memory.
  struct Slot {
    std::optional<std::size_t> unit;
    std::size_t bytes = 0;  // of its last unit, which `released` is behind, though it may be gone
    std::byte* data = nullptr;
    Event read{}, uploaded{}, gathered{}, trainable{};  // of its way here, where it goes that way
    bool trainable_current = false;
    Event released{};  // when its last user was done
  };

  const std::vector<std::size_t>& schedule() const { return schedules_[schedule_]; }
  std::size_t frozen_slot_bytes(std::size_t unit) const;
  std::size_t trainable_share(std::size_t unit) const;  // bytes of every rank's, in the compute dtype
  std::size_t slot_bytes(std::size_t unit) const;
  bool fits_beside(const Slot& slot, std::size_t unit) const;
  void fetch_frozen(Slot& slot, std::size_t unit);
  // Brings what rests here of a unit that is not on the device to `to`.
  Event upload(std::byte* to, std::size_t unit, Event after);
  // From the disk; where the host cannot read into the slots, by way of the staging blocks.
  Event read(Slot& slot, std::byte* to, std::size_t unit);
  Event read_into(std::byte* to, std::size_t unit, std::size_t begin, std::size_t bytes);
  Event copy(std::byte* to, const std::byte* from, std::size_t bytes, std::size_t unit);  // on the uploads' stream
  void fetch_trainable(Slot& slot);
  // Compute waits until it is there. Hop by hop: each wait is for what its hop alone took longer.
  void wait_for(const Slot& slot);
  // Brings this rank's share of a unit's trainable part to `to`, in the compute dtype.
  Event round_masters(std::byte* to, std::size_t unit, Event after);
  void prefetch();
  void make_views(const Slot& slot);
  ConstTensor dense(std::size_t param) override;
  UnitView view(std::span<const Tensor> grads);
  void release();

  const int unwinding_at_start_ = std::uncaught_exceptions();
  Device& device_;
  ParamStore& store_;
  Communicator& gathers_;
  GradientReducer* reducer_;
  StreamerOptions options_;
  std::vector<std::vector<std::size_t>> schedules_;
  std::size_t schedule_ = 0, cursor_ = 0;  // cursor: the visit that comes next

  Buffer memory_;  // both slots: [0] at its low end, [1] at its high end, so it is as large as two neighbours of a
                   // schedule. Its last and first unit are none: embedding and head, where nothing comes between them.
  Buffer dense_;   // the decoded weights of one unit, or of one matrix
  std::unique_ptr<Stream> uploads_, reads_;  // where units do not rest on the device
  std::unique_ptr<Stream> masters_;          // where masters rest on the host
  Buffer rounded_;                           // there, one unit's in the compute dtype
  Buffer staging_;                           // two blocks that are read into, where the host cannot read into the slots
  Event staged_[2];                          // when each was uploaded
  Slot slots_[2];
  std::size_t current_ = 1;  // the slot of the lease
  bool leased_ = false;
  Timeline::Mark computing_ = 0;        // the span of the lease
  std::optional<std::size_t> decoded_;  // the unit in dense_
  std::size_t viewed_ = 0;              // the unit of the views below
  std::vector<PackedTensor> params_;
  std::vector<Tensor> grads_;
};

}  // namespace shardlora
