// Gradients of the trainable parameters on their way from micro-batches to the owners of the shards. Backward writes a
// leaf, `push` adds it into this rank's part of the gradient tree; `reduce` sends the wave's complete subtrees of a
// unit to the owners while the next unit computes. An owner adds its share of them to what earlier waves left one unit
// later, and finishes the tree with the last wave: between waves only sums of shares rest.
#pragma once

#include <exception>
#include <optional>
#include <vector>

#include "backend/device.h"
#include "comm/communicator.h"
#include "shard/gradient_tree.h"
#include "shard/param_store.h"

namespace shardlora {

// A unit that a step visits backwards twice (tied embeddings: as the head, then as the embedding) has two parts of its
// gradient, each with a tree of its own; the second is added to the first at the owners.
enum class GradientPart : std::uint8_t { kFirst, kSecond };

class GradientReducer {
 public:
  // `most_leaves`: micro-batches of the largest step; `wave`: those of a rank that share a visit. `two_parts`: the
  // units whose gradients have two.
  GradientReducer(Device& device, ParamStore& store, Communicator& comm, std::int64_t most_leaves, std::int64_t wave,
                  std::vector<std::size_t> two_parts = {});
  // Waits for what is still on its way; where an exception unwinds, ends it with `abort` first.
  ~GradientReducer();

  // A step begins, of no more leaves and no larger waves than the constructor was told.
  void begin_step(Waves waves);
  // Where the next leaf of `unit` is written: its trainable parameters' gradients as flat f32 elements.
  std::byte* leaf(std::size_t unit);
  void push(std::size_t unit, std::int64_t leaf);
  // All leaves of this rank in the unit's next wave are in. Collective, in the order of the visits.
  void reduce(std::size_t unit, GradientPart part = GradientPart::kFirst);
  // Ends what is still on its way: from here on the store's gradients are complete, in the order of compute() where
  // they rest on the device, and of the store's host() where they rest there.
  void finish();

  // Bytes that a rank sends to another one at once, at most: a wave's subtrees of a unit.
  static std::size_t largest_message(const ParamStore& store, std::int64_t most_leaves, std::int64_t wave, int ranks);

 private:
  // This rank's share of a unit's gradient, or of a part of it, in a step.
  struct Owned {
    std::vector<std::byte*> slots;  // where its sums rest between waves
    std::int64_t wave = 0;          // that comes next
    GradientTree tree;              // slots behind those above: as the wave's subtrees arrived
  };
  Owned& owned(std::size_t unit, GradientPart part);
  std::int64_t elements(std::size_t unit) const { return store_.layout(unit).trainable_elements(); }
  // Adds in slots of as many elements; `at`: where a slot is.
  template <typename At>
  GradientTree::Add adder(std::int64_t elements, At at);
  void allocate_rest(std::size_t slots);
  void take(std::size_t unit, GradientPart part, std::byte* arrived);
  template <typename At>
  void keep(Owned& owned, std::size_t bytes, At at);
  // Brings this rank's share of a unit's gradient, complete at `sum`, to where it rests.
  void put(std::size_t unit, GradientPart part, std::byte* sum);

  const int unwinding_at_start_ = std::uncaught_exceptions();
  Device& device_;
  ParamStore& store_;
  Communicator& comm_;
  Waves waves_;
  std::vector<std::size_t> two_parts_;
  Buffer sums_;  // of the unit that is visited, unsharded
  GradientTree tree_;
  Buffer rest_;
  std::vector<Owned> owned_;  // by unit; then the second parts
  Buffer send_, receive_;
  // Of gradients that rest on the host: one on its way there, from where the next leaves may come; and there the second
  // part of one.
  Buffer leaving_, second_part_;
  Event left_{};
  struct Pending {
    std::size_t unit;
    GradientPart part;
  };
  Event sent_{};  // when the last exchange is done
  std::optional<Pending> pending_;
};

}  // namespace shardlora
