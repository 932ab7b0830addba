#include "shard/gradient_reducer.h"

#include <algorithm>
#include <utility>

#include "backend/host_ops.h"
#include "shard/finish_quietly.h"

namespace shardlora {
namespace {

// Of any rank, in any step of so many micro-batches or fewer: slots while leaves of a wave are added, nodes that a wave
// leaves behind, of one rank and of all; and nodes that an owner keeps between waves.
struct MostNodes {
  std::size_t slots = 0, own = 0, all = 0, kept = 0;
};

void include(MostNodes& most, const Waves& waves) {
  GradientTree kept;
  for (std::int64_t w = 0; w < waves.count(); ++w) {
    std::size_t all = 0;
    for (std::size_t r = 0; r + 1 < waves.cuts.size(); ++r) {
      const auto [begin, end] = waves.of_rank(r, w);
      const std::vector<TreeNode> nodes = complete_subtrees(begin, end);
      for (const TreeNode& node : nodes) kept.insert(node, 0, [](std::size_t, std::size_t) {});
      most.slots = std::max(most.slots, slots_needed(begin, end));
      most.own = std::max(most.own, nodes.size());
      all += nodes.size();
    }
    most.all = std::max(most.all, all);
    if (w + 1 < waves.count()) most.kept = std::max(most.kept, kept.depth());
  }
}

MostNodes most_nodes(std::int64_t leaves, std::int64_t wave, int ranks) {
  MostNodes most;
  for (std::int64_t m = 1; m <= leaves; ++m) include(most, {deal_micro_batches(m, ranks), wave});
  return most;
}

bool rests_on_host(const ParamStore& store, std::size_t unit) {
  return store.residence(unit).gradients == Tier::kPinned;
}

}  // namespace

GradientReducer::GradientReducer(Device& device, ParamStore& store, Communicator& comm, std::int64_t most_leaves,
                                 std::int64_t wave, std::vector<std::size_t> two_parts)
    : device_(device), store_(store), comm_(comm), two_parts_(std::move(two_parts)) {
  const MostNodes most = most_nodes(most_leaves, wave, comm.size());
  std::size_t largest = 0, largest_share = 0, to_host = 0, second_part = 0;
  for (std::size_t u = 0; u < store.units(); ++u) {
    largest = std::max(largest, static_cast<std::size_t>(elements(u)) * sizeof(float));
    largest_share = std::max(largest_share, store.trainable(u).gradient.bytes());
    if (rests_on_host(store, u)) to_host = std::max(to_host, store.trainable(u).gradient.bytes());
  }
  for (const std::size_t u : two_parts_)
    if (rests_on_host(store, u)) second_part = std::max(second_part, store.trainable(u).gradient.bytes());
  leaving_ = device.allocate(to_host, Tier::kDevice, Purpose::kGradients);
  second_part_ = device.allocate(second_part, Tier::kPinned, Purpose::kGradients);
  sums_ = device.allocate(most.slots * largest, Tier::kDevice, Purpose::kGradients);
  allocate_rest(most.kept);
  if (comm.size() == 1) return;
  send_ = device.allocate(most.own * largest, Tier::kDevice, Purpose::kCommunication);
  receive_ = device.allocate(most.all * largest_share, Tier::kDevice, Purpose::kCommunication);
}

// A unit's first sum rests where its gradient will be, if that is on the device; a second part has no such place.
void GradientReducer::allocate_rest(std::size_t slots) {
  const auto share = [&](std::size_t u) { return store_.trainable(u).gradient.bytes(); };
  const auto more = [&](std::size_t u) { return slots == 0 || rests_on_host(store_, u) ? slots : slots - 1; };
  std::size_t bytes = 0;
  for (const std::size_t u : two_parts_) bytes += slots * share(u);
  for (std::size_t u = 0; u < store_.units(); ++u) bytes += more(u) * share(u);
  rest_ = device_.allocate(bytes, Tier::kDevice, Purpose::kGradients);
  std::byte* free = rest_.data();
  const auto take_slots = [&](Owned& owned, std::size_t u, std::size_t count) {
    for (; count > 0; --count) owned.slots.push_back(std::exchange(free, free + share(u)));
  };
  for (std::size_t u = 0; u < store_.units(); ++u) {
    owned_.emplace_back();
    if (more(u) < slots) owned_[u].slots.push_back(store_.trainable(u).gradient.data);
    take_slots(owned_[u], u, more(u));
  }
  for (const std::size_t u : two_parts_) take_slots(owned_.emplace_back(), u, slots);
}

GradientReducer::Owned& GradientReducer::owned(std::size_t unit, GradientPart part) {
  if (part == GradientPart::kFirst) return owned_[unit];
  const auto place = std::find(two_parts_.begin(), two_parts_.end(), unit) - two_parts_.begin();
  return owned_[store_.units() + static_cast<std::size_t>(place)];
}

std::size_t GradientReducer::largest_message(const ParamStore& store, std::int64_t most_leaves, std::int64_t wave,
                                             int ranks) {
  std::size_t share = 0;
  for (std::size_t u = 0; u < store.units(); ++u) share = std::max(share, store.element_share(u) * sizeof(float));
  return most_nodes(most_leaves, wave, ranks).own * share;
}

GradientReducer::~GradientReducer() {
  if (pending_ && std::uncaught_exceptions() > unwinding_at_start_) comm_.abort();  // peers may never come
  finish_quietly(comm_, sent_);  // a compute stream that has failed did not wait for it
  if (store_.uses_host()) finish_quietly(store_.host());
}

void GradientReducer::begin_step(Waves waves) {
  CHECK(!pending_, "a step began before the last one's gradients were finished");
  waves_ = std::move(waves);
  tree_.clear();
  for (Owned& owned : owned_) {
    owned.wave = 0;
    owned.tree.clear();
  }
}

std::byte* GradientReducer::leaf(std::size_t unit) {
  return sums_.data() + tree_.depth() * static_cast<std::size_t>(elements(unit)) * sizeof(float);
}

template <typename At>
GradientTree::Add GradientReducer::adder(std::int64_t elements, At at) {
  return [this, elements, at](std::size_t to, std::size_t from) {
    const Tensor left{at(to), DType::kF32, {elements}};
    device_.ops().add(left, left, Tensor{at(from), DType::kF32, {elements}});
  };
}

void GradientReducer::push(std::size_t unit, std::int64_t leaf) {
  if (elements(unit) == 0) return;  // a layer that the adapter leaves alone
  const std::size_t bytes = static_cast<std::size_t>(elements(unit)) * sizeof(float);
  tree_.push({0, leaf}, adder(elements(unit), [&](std::size_t slot) { return sums_.data() + slot * bytes; }));
}

void GradientReducer::reduce(std::size_t unit, GradientPart part) {
  finish();  // the send and receive buffers are free again
  if (elements(unit) == 0) return;
  const std::int64_t wave = owned(unit, part).wave;
  const auto rank = static_cast<std::size_t>(comm_.rank()), ranks = static_cast<std::size_t>(comm_.size());
  const auto subtrees = [&](std::size_t r) {
    const auto [begin, end] = waves_.of_rank(r, wave);
    return complete_subtrees(begin, end);
  };
  CHECK(wave < waves_.count() && tree_.nodes() == subtrees(rank), "unit {} is reduced before all its leaves are in",
        unit);
  const std::size_t nodes = tree_.depth();
  tree_.clear();
  if (ranks == 1) return take(unit, part, sums_.data());

  // To every owner its slice of each of our nodes; from every rank our slice of each of its nodes.
  const std::vector<std::size_t>& cuts = store_.element_cuts(unit);
  const std::size_t whole = static_cast<std::size_t>(elements(unit)) * sizeof(float);
  std::vector<std::size_t> send{0}, receive{0};
  std::size_t packed = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    const std::size_t begin = cuts[r] * sizeof(float), slice = (cuts[r + 1] - cuts[r]) * sizeof(float);
    for (std::size_t node = 0; node < nodes; ++node, packed += slice)
      device_.copy(send_.data() + packed, sums_.data() + node * whole + begin, slice, device_.compute());
    send.push_back(packed);
    receive.push_back(receive.back() + subtrees(r).size() * store_.trainable(unit).master.bytes());
  }
  sent_ = comm_.all_to_all(receive_.data(), receive, send_.data(), send, device_.compute().record());
  pending_ = Pending{unit, part};
}

void GradientReducer::finish() {
  if (!pending_) return;
  device_.timeline().wait(device_.compute(), sent_, Hop::kReduce);
  take(pending_->unit, pending_->part, receive_.data());
  pending_.reset();
}

// The wave's subtrees of all ranks have arrived one behind the other.
void GradientReducer::take(std::size_t unit, GradientPart part, std::byte* arrived) {
  Owned& owned = this->owned(unit, part);
  const std::int64_t wave = owned.wave++;
  const Tensor gradient = store_.trainable(unit).gradient;
  if (gradient.numel() == 0) return;
  const auto at = [&](std::size_t slot) {
    return slot < owned.slots.size() ? owned.slots[slot] : arrived + (slot - owned.slots.size()) * gradient.bytes();
  };
  const GradientTree::Add add = adder(gradient.numel(), at);
  std::size_t slot = owned.slots.size();
  for (std::size_t r = 0; r + 1 < waves_.cuts.size(); ++r) {
    const auto [begin, end] = waves_.of_rank(r, wave);
    for (const TreeNode& node : complete_subtrees(begin, end)) owned.tree.insert(node, slot++, add);
  }
  if (wave + 1 < waves_.count()) return keep(owned, gradient.bytes(), at);

  put(unit, part, at(owned.tree.fold(add)));
}

// Sums that lie where they arrived go to slots that are free.
template <typename At>
void GradientReducer::keep(Owned& owned, std::size_t bytes, At at) {
  std::vector<bool> taken(owned.slots.size());
  for (const GradientTree::Sum& sum : owned.tree.sums())
    if (sum.slot < taken.size()) taken[sum.slot] = true;
  for (GradientTree::Sum& sum : owned.tree.sums()) {
    if (sum.slot < taken.size()) continue;
    const auto free = static_cast<std::size_t>(std::find(taken.begin(), taken.end(), false) - taken.begin());
    CHECK(free < taken.size(), "{} sums rest in {} slots", owned.tree.depth(), taken.size());
    device_.copy(owned.slots[free], at(sum.slot), bytes, device_.compute());
    taken[free] = true;
    sum.slot = free;
  }
}

void GradientReducer::put(std::size_t unit, GradientPart part, std::byte* sum) {
  const Tensor gradient = store_.trainable(unit).gradient;
  Stream& compute = device_.compute();
  if (!rests_on_host(store_, unit)) {
    if (part == GradientPart::kSecond)
      device_.ops().add(gradient, gradient, Tensor{sum, DType::kF32, gradient.shape});
    else if (sum != gradient.data)
      device_.copy(gradient.data, sum, gradient.bytes(), compute);
    return;
  }
  // Compute goes on at once: the last one that left had a unit's time for it.
  Stream& host = store_.host();
  device_.timeline().wait(compute, left_, Hop::kReduce);
  device_.copy(leaving_.data(), sum, gradient.bytes(), compute);
  host.wait(compute.record());
  const Tensor landed = part == GradientPart::kFirst ? gradient : second_part_.tensor(DType::kF32, gradient.shape);
  device_.copy(landed.data, leaving_.data(), landed.bytes(), host);
  left_ = host.record();
  if (part == GradientPart::kSecond) HostOps(device_, host).add(gradient, gradient, landed);
}

}  // namespace shardlora
