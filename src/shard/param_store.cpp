#include "shard/param_store.h"

#include <algorithm>
#include <cstring>

namespace shardlora {

std::size_t ParamStore::Segment::add(Tier tier, std::size_t bytes) {
  if (tier == Tier::kDisk) return 0;
  std::size_t& end = bytes_[static_cast<std::size_t>(tier)];
  return std::exchange(end, end + bytes);
}

void ParamStore::Segment::allocate(Device& device, Purpose purpose) {
  for (const Tier tier : {Tier::kDevice, Tier::kPinned})
    buffers_[static_cast<std::size_t>(tier)] = device.allocate(bytes_[static_cast<std::size_t>(tier)], tier, purpose);
}

std::byte* ParamStore::Segment::at(Tier tier, std::size_t offset) const {
  return tier == Tier::kDisk ? nullptr : buffers_[static_cast<std::size_t>(tier)].data() + offset;
}

ParamStore::ParamStore(Device& device, int rank, int ranks, const std::vector<UnitSpec>& units,
                       const std::vector<UnitResidence>& residences)
    : device_(device), rank_(rank), ranks_(ranks) {
  CHECK(residences.size() == units.size(), "{} residences for {} units", residences.size(), units.size());
  struct Offsets {
    std::size_t frozen, master, gradient, state;
  };
  std::vector<Offsets> offsets;
  bool on_host = false;
  for (std::size_t u = 0; u < units.size(); ++u) {
    Unit& unit = units_.emplace_back(units[u], residences[u]);
    unit.frozen_cuts = equal_cuts(unit.layout.frozen_bytes(), kPage, ranks);
    unit.element_cuts = equal_cuts(static_cast<std::size_t>(unit.layout.trainable_elements()),
                                   static_cast<std::size_t>(kElementBlock), ranks);
    const UnitResidence& where = unit.residence;
    const std::size_t share = element_share(u) * sizeof(float);
    offsets.push_back({frozen_.add(tier(u), frozen_share(u) * (whole(u) ? static_cast<std::size_t>(ranks) : 1)),
                       masters_.add(where.masters, whole_pages(share)),
                       gradients_.add(where.gradients, whole_pages(share)),
                       state_.add(where.state, whole_pages(kStateTensors * share))});
    for (const Tier tier : {where.masters, where.gradients, where.state})
      on_host = on_host || (share > 0 && tier == Tier::kPinned);
  }
  frozen_.allocate(device, Purpose::kFrozen);
  masters_.allocate(device, Purpose::kTrainable);
  gradients_.allocate(device, Purpose::kGradients);
  state_.allocate(device, Purpose::kOptimizer);
  if (on_host) host_ = device.make_stream("host");

  const auto r = static_cast<std::size_t>(rank);
  for (std::size_t u = 0; u < units.size(); ++u) {
    Unit& unit = units_[u];
    const UnitResidence& where = unit.residence;
    const auto n = static_cast<std::int64_t>(unit.element_cuts[r + 1] - unit.element_cuts[r]);
    unit.frozen = frozen_.at(tier(u), offsets[u].frozen);
    unit.share = {{masters_.at(where.masters, offsets[u].master), DType::kF32, {n}},
                  {gradients_.at(where.gradients, offsets[u].gradient), DType::kF32, {n}},
                  {state_.at(where.state, offsets[u].state), DType::kF32, {kStateTensors, n}}};
  }
}

Stream& ParamStore::host() const {
  CHECK(host_ != nullptr, "nothing that trains rests on the host");
  return *host_;
}

void ParamStore::scatter_frozen(std::size_t unit, int root, const std::byte* flat, Communicator& comm) {
  Unit& u = units_[unit];
  CHECK(u.residence.frozen.tier != Tier::kDisk, "{} rests on disk", u.layout.spec().name);
  if (ranks_ == 1) return set_resting(unit, 0, {flat, u.layout.frozen_bytes()});
  Buffer at_root, landed;  // communicators take device memory
  if (rank_ == root) {
    at_root = device_.allocate(u.layout.frozen_bytes(), Tier::kDevice, Purpose::kCommunication);
    device_.copy(at_root.data(), flat, at_root.bytes(), device_.compute());
  }
  const auto rank = static_cast<std::size_t>(rank_), ranks = static_cast<std::size_t>(ranks_);
  if (u.residence.frozen.tier != Tier::kDevice)
    landed = device_.allocate(frozen_share(unit) * (whole(unit) ? ranks : 1), Tier::kDevice, Purpose::kCommunication);
  std::byte* const out = landed.bytes() > 0 ? landed.data() : u.frozen;
  // Only the root has something to send: to each rank its pages. Where all ranks keep the whole, they then gather it.
  std::byte* const mine = out + (whole(unit) ? rank * frozen_share(unit) : 0);
  std::vector<std::size_t> from_root(ranks + 1, 0);
  std::fill(from_root.begin() + root + 1, from_root.end(), u.frozen_cuts[rank + 1] - u.frozen_cuts[rank]);
  const std::vector<std::size_t> send = rank_ == root ? u.frozen_cuts : std::vector<std::size_t>(ranks + 1, 0);
  Event done = comm.all_to_all(mine, from_root, at_root.data(), send, device_.compute().record());
  if (whole(unit)) done = comm.all_gather(out, mine, frozen_share(unit), done);
  comm.synchronize(done);
  const auto [begin, end] = resting(unit);
  if (landed.bytes() > 0) set_resting(unit, begin, {landed.data(), end - begin});
}

std::pair<std::size_t, std::size_t> ParamStore::resting(std::size_t unit) const {
  const Unit& u = units_[unit];
  const auto rank = static_cast<std::size_t>(rank_);
  if (whole(unit)) return {0, u.layout.frozen_bytes()};
  return {u.frozen_cuts[rank], u.frozen_cuts[rank + 1]};
}

void ParamStore::set_resting(std::size_t unit, std::size_t begin, std::span<const std::byte> bytes) {
  const auto [first, last] = resting(unit);
  CHECK(first <= begin && begin + bytes.size() <= last, "bytes [{}, {}) of [{}, {}) rest here", begin,
        begin + bytes.size(), first, last);
  device_.copy(units_[unit].frozen + (begin - first), bytes.data(), bytes.size(), device_.compute());
  device_.compute().synchronize();
}

void ParamStore::copy_masters(const Unit& unit, std::byte* to, const std::byte* from) const {
  const std::size_t bytes = unit.share.master.bytes();
  if (unit.residence.masters == Tier::kDevice) device_.copy(to, from, bytes, device_.compute());
  device_.compute().synchronize();
  if (uses_host()) host_->synchronize();
  if (unit.residence.masters != Tier::kDevice) std::memcpy(to, from, bytes);
}

void ParamStore::read_masters(std::size_t unit, std::byte* to) const {
  copy_masters(units_[unit], to, units_[unit].share.master.data);
}

void ParamStore::write_masters(std::size_t unit, const std::byte* from) {
  copy_masters(units_[unit], units_[unit].share.master.data, from);
}

void ParamStore::zero(Tensor tensor, Tier tier) const {
  if (tier == Tier::kDevice)
    device_.ops().zero(tensor);
  else
    std::memset(tensor.data, 0, tensor.bytes());
}

void ParamStore::set_trainable(std::size_t unit, const float* elements) {
  const Unit& u = units_[unit];
  if (u.share.master.numel() == 0) return;
  // Through pinned memory, as a device wants it. Happens once, before the first step.
  const Buffer staging = device_.allocate(u.share.master.bytes(), Tier::kPinned, Purpose::kTrainable);
  std::memcpy(staging.data(), elements + u.element_cuts[static_cast<std::size_t>(rank_)], staging.bytes());
  write_masters(unit, staging.data());
  zero(u.share.gradient, u.residence.gradients);
  zero(u.share.state, u.residence.state);
  device_.compute().synchronize();
}

Buffer ParamStore::gather_trainable(std::size_t unit, int root, Communicator& comm) const {
  const Unit& u = units_[unit];
  const auto in_bytes = [](std::size_t elements) { return elements * sizeof(float); };
  std::vector<std::size_t> receive(static_cast<std::size_t>(ranks_) + 1, 0), send = receive;
  if (rank_ == root) std::transform(u.element_cuts.begin(), u.element_cuts.end(), receive.begin(), in_bytes);
  std::fill(send.begin() + root + 1, send.end(), u.share.master.bytes());
  const Buffer landed = device_.allocate(receive.back(), Tier::kDevice, Purpose::kCommunication);
  Buffer elements = device_.allocate(receive.back(), Tier::kPinned, Purpose::kCommunication);
  Buffer lifted;  // communicators take device memory
  const std::byte* mine = u.share.master.data;
  if (u.residence.masters != Tier::kDevice) {
    lifted = device_.allocate(u.share.master.bytes(), Tier::kDevice, Purpose::kCommunication);
    device_.compute().wait(updated(unit));
    device_.copy(lifted.data(), mine, lifted.bytes(), device_.compute());
    mine = lifted.data();
  }
  comm.synchronize(comm.all_to_all(landed.data(), receive, mine, send, device_.compute().record()));
  device_.copy(elements.data(), landed.data(), landed.bytes(), device_.compute());
  device_.compute().synchronize();
  return elements;
}

}  // namespace shardlora
