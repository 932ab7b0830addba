#include "shard/gradient_reducer.h"

#include <algorithm>

#include "backend/host_ops.h"
#include "shard/finish_quietly.h"

namespace shardlora {
namespace {

// Nodes that leaves of one rank can leave behind in a step of `leaves` or fewer micro-batches, and slots while adding
// them.
struct MostNodes {
  std::size_t slots = 0, own = 0, all = 0;
};

MostNodes most_nodes(std::int64_t leaves, int rank, int ranks) {
  MostNodes most;
  for (std::int64_t m = 1; m <= leaves; ++m) {
    const std::vector<std::int64_t> cuts = deal_micro_batches(m, ranks);
    std::size_t all = 0;
    for (std::size_t r = 0; r < static_cast<std::size_t>(ranks); ++r) {
      const std::size_t nodes = complete_subtrees(cuts[r], cuts[r + 1]).size();
      all += nodes;
      if (r != static_cast<std::size_t>(rank)) continue;
      most.own = std::max(most.own, nodes);
      most.slots = std::max(most.slots, slots_needed(cuts[r], cuts[r + 1]));
    }
    most.all = std::max(most.all, all);
  }
  return most;
}

bool rests_on_host(const ParamStore& store, std::size_t unit) {
  return store.residence(unit).gradients == Tier::kPinned;
}

}  // namespace

GradientReducer::GradientReducer(Device& device, ParamStore& store, Communicator& comm, std::int64_t most_leaves,
                                 Waves waves, std::optional<std::size_t> two_parts)
    : device_(device), store_(store), comm_(comm), waves_(waves) {
  const MostNodes most = most_nodes(most_leaves, comm.rank(), comm.size());
  std::size_t largest = 0, largest_share = 0, to_host = 0;
  for (std::size_t u = 0; u < store.units(); ++u) {
    largest = std::max(largest, static_cast<std::size_t>(elements(u)) * sizeof(float));
    largest_share = std::max(largest_share, store.trainable(u).gradient.bytes());
    if (rests_on_host(store, u)) to_host = std::max(to_host, store.trainable(u).gradient.bytes());
  }
  leaving_ = device.allocate(to_host, Tier::kDevice, Purpose::kGradients);
  if (two_parts && rests_on_host(store, *two_parts))
    second_part_ = device.allocate(store.trainable(*two_parts).gradient.bytes(), Tier::kPinned, Purpose::kGradients);
  const auto add_sums = [&](std::size_t bytes) {
    sums_.push_back({device.allocate(most.slots * bytes, Tier::kDevice, Purpose::kGradients), {}});
  };
  if (waves == Waves::kOne) {
    add_sums(largest);
  } else {
    for (std::size_t u = 0; u < store.units(); ++u) add_sums(static_cast<std::size_t>(elements(u)) * sizeof(float));
    if (two_parts) add_sums(static_cast<std::size_t>(elements(*two_parts)) * sizeof(float));
  }
  if (comm.size() == 1) return;
  send_ = device.allocate(most.own * largest, Tier::kDevice, Purpose::kCommunication);
  receive_ = device.allocate(most.all * largest_share, Tier::kDevice, Purpose::kCommunication);
}

std::size_t GradientReducer::largest_message(const ParamStore& store, std::int64_t most_leaves, int ranks) {
  std::size_t nodes = 0, share = 0;
  for (int r = 0; r < ranks; ++r) nodes = std::max(nodes, most_nodes(most_leaves, r, ranks).own);
  for (std::size_t u = 0; u < store.units(); ++u) share = std::max(share, store.element_share(u) * sizeof(float));
  return nodes * share;
}

GradientReducer::~GradientReducer() {
  if (pending_) {
    if (std::uncaught_exceptions() > unwinding_at_start_) comm_.abort();  // peers may never come
    finish_quietly(comm_, pending_->done);
  }
  if (store_.uses_host()) finish_quietly(store_.host());
}

void GradientReducer::begin_step(std::vector<std::int64_t> cuts) {
  CHECK(!pending_, "a step began before the last one's gradients were finished");
  cuts_ = std::move(cuts);
  for (Sums& s : sums_) s.tree.clear();
}

std::byte* GradientReducer::leaf(std::size_t unit, GradientPart part) {
  Sums& s = sums(unit, part);
  return s.slots.data() + s.tree.depth() * static_cast<std::size_t>(elements(unit)) * sizeof(float);
}

GradientTree::Add GradientReducer::adder(std::byte* slots, std::int64_t elements) {
  return [this, slots, elements](std::size_t to, std::size_t from) {
    const std::size_t bytes = static_cast<std::size_t>(elements) * sizeof(float);
    const Tensor left{slots + to * bytes, DType::kF32, {elements}};
    device_.ops().add(left, left, Tensor{slots + from * bytes, DType::kF32, {elements}});
  };
}

void GradientReducer::push(std::size_t unit, std::int64_t leaf, GradientPart part) {
  if (elements(unit) == 0) return;  // a layer that the adapter leaves alone
  Sums& s = sums(unit, part);
  s.tree.push({0, leaf}, adder(s.slots.data(), elements(unit)));
}

void GradientReducer::reduce(std::size_t unit, GradientPart part) {
  finish();  // the send and receive buffers are free again
  if (elements(unit) == 0) return;
  Sums& s = sums(unit, part);
  const auto rank = static_cast<std::size_t>(comm_.rank()), ranks = static_cast<std::size_t>(comm_.size());
  CHECK(s.tree.nodes() == complete_subtrees(cuts_[rank], cuts_[rank + 1]),
        "unit {} is reduced before all its leaves are in", unit);

  if (ranks == 1) return finish_unit(unit, part);
  // To every owner its slice of each of our nodes; from every rank our slice of each of its nodes.
  const std::vector<std::size_t>& cuts = store_.element_cuts(unit);
  const std::size_t whole = static_cast<std::size_t>(elements(unit)) * sizeof(float);
  std::vector<std::size_t> send{0}, receive{0};
  std::size_t packed = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    const std::size_t begin = cuts[r] * sizeof(float), slice = (cuts[r + 1] - cuts[r]) * sizeof(float);
    for (std::size_t node = 0; node < s.tree.depth(); ++node, packed += slice)
      device_.copy(send_.data() + packed, s.slots.data() + node * whole + begin, slice, device_.compute());
    send.push_back(packed);
    receive.push_back(receive.back() +
                      complete_subtrees(cuts_[r], cuts_[r + 1]).size() * store_.trainable(unit).master.bytes());
  }
  pending_ =
      Pending{unit, part, comm_.all_to_all(receive_.data(), receive, send_.data(), send, device_.compute().record())};
  s.tree.clear();
}

void GradientReducer::finish() {
  if (!pending_) return;
  device_.timeline().wait(device_.compute(), pending_->done, Hop::kReduce);
  finish_unit(pending_->unit, pending_->part);
  pending_.reset();
}

void GradientReducer::finish_unit(std::size_t unit, GradientPart part) {
  const Tensor gradient = store_.trainable(unit).gradient;
  std::byte* slots = comm_.size() == 1 ? sums(unit, part).slots.data() : receive_.data();
  // Nodes arrive in slots of their own; the tree wants them packed to the left, so a node is moved down before it is
  // pushed.
  GradientTree tree;
  const GradientTree::Add add = adder(slots, gradient.numel());
  std::size_t arrived = 0;
  for (std::size_t r = 0; r + 1 < cuts_.size(); ++r) {
    for (const TreeNode& node : complete_subtrees(cuts_[r], cuts_[r + 1])) {
      if (arrived != tree.depth())
        device_.copy(slots + tree.depth() * gradient.bytes(), slots + arrived * gradient.bytes(), gradient.bytes(),
                     device_.compute());
      tree.push(node, add);
      ++arrived;
    }
  }
  tree.fold(add);
  if (gradient.numel() > 0) put(unit, part, slots);
  if (comm_.size() == 1) sums(unit, part).tree.clear();
}

void GradientReducer::put(std::size_t unit, GradientPart part, std::byte* sum) {
  const Tensor gradient = store_.trainable(unit).gradient;
  Stream& compute = device_.compute();
  if (!rests_on_host(store_, unit)) {
    if (part == GradientPart::kFirst)
      device_.copy(gradient.data, sum, gradient.bytes(), compute);
    else
      device_.ops().add(gradient, gradient, Tensor{sum, DType::kF32, gradient.shape});
    return;
  }
  // Compute goes on at once: the last one that left had a unit's time for it.
  Stream& host = store_.host();
  compute.wait(left_);
  device_.copy(leaving_.data(), sum, gradient.bytes(), compute);
  host.wait(compute.record());
  const Tensor landed = part == GradientPart::kFirst ? gradient : second_part_.tensor(DType::kF32, gradient.shape);
  device_.copy(landed.data, leaving_.data(), landed.bytes(), host);
  left_ = host.record();
  if (part == GradientPart::kSecond) HostOps(device_, host).add(gradient, gradient, landed);
}

}  // namespace shardlora
