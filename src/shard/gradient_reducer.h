// Gradients of the trainable parameters on their way from micro-batches to the owners of the shards. Backward writes a
// leaf, `push` adds it into this rank's part of the gradient tree; `reduce` sends the unit's complete subtrees to the
// owners while the next unit computes; the owner finishes the tree one unit later.
#pragma once

#include <exception>
#include <optional>
#include <vector>

#include "backend/device.h"
#include "comm/communicator.h"
#include "shard/gradient_tree.h"
#include "shard/param_store.h"

namespace shardlora {

// Whether a step is one wave, so that a unit's sums are complete when its lease ends, or several, so that they have to
// be kept.
enum class Waves : std::uint8_t { kOne, kSeveral };

// A unit that a step visits backwards twice (tied embeddings: as the head, then as the embedding) has two parts of its
// gradient, each with a tree of its own; the second is added to the first at the owners.
enum class GradientPart : std::uint8_t { kFirst, kSecond };

class GradientReducer {
 public:
  // `most_leaves`: micro-batches of the largest step. `two_parts`: the unit whose gradient has two.
  GradientReducer(Device& device, ParamStore& store, Communicator& comm, std::int64_t most_leaves, Waves waves,
                  std::optional<std::size_t> two_parts = {});
  // Waits for what is still on its way; where an exception unwinds, ends it with `abort` first.
  ~GradientReducer();

  // The micro-batches of the step that begins: rank r has leaves [cuts[r], cuts[r + 1]).
  void begin_step(std::vector<std::int64_t> cuts);
  // Where the next leaf of `unit` is written: its trainable parameters' gradients as flat f32 elements.
  std::byte* leaf(std::size_t unit, GradientPart part = GradientPart::kFirst);
  void push(std::size_t unit, std::int64_t leaf, GradientPart part = GradientPart::kFirst);
  // All leaves of this rank are in. Collective, in the order of the visits.
  void reduce(std::size_t unit, GradientPart part = GradientPart::kFirst);
  // Ends what is still on its way: from here on the store's gradients are complete, in the order of compute() where
  // they rest on the device, and of the store's host() where they rest there.
  void finish();

  // Bytes that a rank sends to another one at once, at most: its subtrees of a unit.
  static std::size_t largest_message(const ParamStore& store, std::int64_t most_leaves, int ranks);

 private:
  struct Sums {
    Buffer slots;
    GradientTree tree;
  };
  // With several waves the second part's come after those of all units.
  Sums& sums(std::size_t unit, GradientPart part) {
    return sums_[waves_ == Waves::kOne ? 0 : part == GradientPart::kFirst ? unit : sums_.size() - 1];
  }
  std::int64_t elements(std::size_t unit) const { return store_.layout(unit).trainable_elements(); }
  GradientTree::Add adder(std::byte* slots, std::int64_t elements);
  void finish_unit(std::size_t unit, GradientPart part);
  // Brings this rank's share of a unit's gradient, complete at `sum`, to where it rests.
  void put(std::size_t unit, GradientPart part, std::byte* sum);

  const int unwinding_at_start_ = std::uncaught_exceptions();
  Device& device_;
  ParamStore& store_;
  Communicator& comm_;
  Waves waves_;
  std::vector<std::int64_t> cuts_;
  std::vector<Sums> sums_;
  Buffer send_, receive_;
  // Of gradients that rest on the host: one on its way there, from where the next leaves may come; and there the second
  // part of one.
  Buffer leaving_, second_part_;
  Event left_{};
  struct Pending {
    std::size_t unit;
    GradientPart part;
    Event done;
  };
  std::optional<Pending> pending_;
};

}  // namespace shardlora
