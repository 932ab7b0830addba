#include "shard/param_store.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace shardlora {

ParamStore::ParamStore(Device& device, int rank, int ranks, const std::vector<UnitSpec>& units,
                       const std::vector<Residence>& frozen)
    : device_(device), rank_(rank), ranks_(ranks) {
  CHECK(frozen.size() == units.size(), "{} residences for {} units", frozen.size(), units.size());
  const auto r = static_cast<std::size_t>(rank);
  std::array<std::size_t, 3> frozen_bytes{};  // by tier
  std::size_t masters_bytes = 0;
  for (std::size_t u = 0; u < units.size(); ++u) {
    Unit unit(units[u], frozen[u]);
    unit.frozen_cuts = equal_cuts(unit.layout.frozen_bytes(), kPage, ranks);
    unit.element_cuts = equal_cuts(static_cast<std::size_t>(unit.layout.trainable_elements()),
                                   static_cast<std::size_t>(kElementBlock), ranks);
    units_.push_back(std::move(unit));
    Unit& added = units_.back();
    std::size_t& end = frozen_bytes[static_cast<std::size_t>(frozen[u].tier)];
    added.frozen_offset =
        std::exchange(end, end + added.frozen_cuts[1] * (whole(u) ? static_cast<std::size_t>(ranks) : 1));
    added.masters_offset =
        std::exchange(masters_bytes, masters_bytes + whole_pages(added.element_cuts[1] * sizeof(float)));
  }
  on_device_ = device.allocate(frozen_bytes[static_cast<std::size_t>(Tier::kDevice)], Tier::kDevice, Purpose::kFrozen);
  on_host_ = device.allocate(frozen_bytes[static_cast<std::size_t>(Tier::kPinned)], Tier::kPinned, Purpose::kFrozen);
  masters_ = device.allocate(masters_bytes, Tier::kDevice, Purpose::kTrainable);
  gradients_ = device.allocate(masters_bytes, Tier::kDevice, Purpose::kGradients);
  moments_ = device.allocate(2 * masters_bytes, Tier::kDevice, Purpose::kOptimizer);
  for (Unit& unit : units_) {
    if (unit.residence.tier != Tier::kDisk)
      unit.frozen = (unit.residence.tier == Tier::kDevice ? on_device_ : on_host_).data() + unit.frozen_offset;
    const Shape shape{static_cast<std::int64_t>(unit.element_cuts[r + 1] - unit.element_cuts[r])};
    const std::size_t at = unit.masters_offset, bytes = static_cast<std::size_t>(shape.numel()) * sizeof(float);
    unit.share = {masters_.tensor(DType::kF32, shape, at), gradients_.tensor(DType::kF32, shape, at),
                  moments_.tensor(DType::kF32, shape, 2 * at), moments_.tensor(DType::kF32, shape, 2 * at + bytes)};
  }
}

void ParamStore::scatter_frozen(std::size_t unit, int root, const std::byte* flat, Communicator& comm) {
  Unit& u = units_[unit];
  CHECK(u.residence.tier != Tier::kDisk, "{} rests on disk", u.layout.spec().name);
  if (ranks_ == 1) return set_resting(unit, 0, {flat, u.layout.frozen_bytes()});
  Buffer at_root, landed;  // communicators take device memory
  if (rank_ == root) {
    at_root = device_.allocate(u.layout.frozen_bytes(), Tier::kDevice, Purpose::kCommunication);
    device_.copy(at_root.data(), flat, at_root.bytes(), device_.compute());
  }
  const auto rank = static_cast<std::size_t>(rank_), ranks = static_cast<std::size_t>(ranks_);
  if (u.residence.tier != Tier::kDevice)
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

void ParamStore::set_trainable(std::size_t unit, const float* elements) {
  const Unit& u = units_[unit];
  if (u.share.master.numel() == 0) return;
  // Through pinned memory, as a device wants it. Happens once, before the first step.
  const Buffer staging = device_.allocate(u.share.master.bytes(), Tier::kPinned, Purpose::kTrainable);
  std::memcpy(staging.data(), elements + u.element_cuts[static_cast<std::size_t>(rank_)], staging.bytes());
  device_.copy(u.share.master.data, staging.data(), staging.bytes(), device_.compute());
  for (const Tensor& zeroed : {u.share.gradient, u.share.m, u.share.v}) device_.ops().zero(zeroed);
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
  comm.synchronize(comm.all_to_all(landed.data(), receive, u.share.master.data, send, device_.compute().record()));
  device_.copy(elements.data(), landed.data(), landed.bytes(), device_.compute());
  device_.compute().synchronize();
  return elements;
}

}  // namespace shardlora
