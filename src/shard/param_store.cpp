#include "shard/param_store.h"

#include <algorithm>
#include <cstring>

namespace shardlora {

ParamStore::ParamStore(Device& device, int rank, int ranks, const std::vector<UnitSpec>& units, Residence residence)
    : device_(device), rank_(rank), ranks_(ranks), residence_(residence) {
  if (residence.tier != Tier::kDevice) fail("base weights outside device memory are not in this version");
  const auto r = static_cast<std::size_t>(rank);
  std::size_t frozen_bytes = 0, masters_bytes = 0;
  for (const UnitSpec& spec : units) {
    Unit unit(spec);
    unit.frozen_cuts = equal_cuts(unit.layout.frozen_bytes(), kPage, ranks);
    unit.element_cuts = equal_cuts(static_cast<std::size_t>(unit.layout.trainable_elements()),
                                   static_cast<std::size_t>(kElementBlock), ranks);
    unit.frozen_offset = frozen_bytes;
    unit.masters_offset = masters_bytes;
    frozen_bytes += unit.frozen_cuts[1] * (whole() ? static_cast<std::size_t>(ranks) : 1);
    masters_bytes += whole_pages(unit.element_cuts[1] * sizeof(float));
    units_.push_back(std::move(unit));
  }
  frozen_ = device.allocate(frozen_bytes, Tier::kDevice, Purpose::kFrozen);
  masters_ = device.allocate(masters_bytes, Tier::kDevice, Purpose::kTrainable);
  gradients_ = device.allocate(masters_bytes, Tier::kDevice, Purpose::kGradients);
  moments_ = device.allocate(2 * masters_bytes, Tier::kDevice, Purpose::kOptimizer);
  for (Unit& unit : units_) {
    const Shape shape{static_cast<std::int64_t>(unit.element_cuts[r + 1] - unit.element_cuts[r])};
    const std::size_t at = unit.masters_offset, bytes = static_cast<std::size_t>(shape.numel()) * sizeof(float);
    unit.share = {masters_.tensor(DType::kF32, shape, at), gradients_.tensor(DType::kF32, shape, at),
                  moments_.tensor(DType::kF32, shape, 2 * at), moments_.tensor(DType::kF32, shape, 2 * at + bytes)};
  }
}

void ParamStore::scatter_frozen(std::size_t unit, int root, const std::byte* flat, Communicator& comm) {
  Unit& u = units_[unit];
  if (ranks_ == 1) return set_resting(unit, flat);
  Buffer at_root;
  if (rank_ == root) {
    at_root = device_.allocate(u.layout.frozen_bytes(), Tier::kDevice, Purpose::kCommunication);
    device_.copy(at_root.data(), flat, at_root.bytes(), device_.compute());
  }
  // Only the root has something to send: to each rank its pages. Where all ranks keep the whole, they then gather it.
  const auto rank = static_cast<std::size_t>(rank_), ranks = static_cast<std::size_t>(ranks_);
  std::byte* const mine = frozen(unit) + (whole() ? rank * frozen_share(unit) : 0);
  std::vector<std::size_t> from_root(ranks + 1, 0);
  std::fill(from_root.begin() + root + 1, from_root.end(), u.frozen_cuts[rank + 1] - u.frozen_cuts[rank]);
  const std::vector<std::size_t> send = rank_ == root ? u.frozen_cuts : std::vector<std::size_t>(ranks + 1, 0);
  Event done = comm.all_to_all(mine, from_root, at_root.data(), send, device_.compute().record());
  if (whole()) done = comm.all_gather(frozen(unit), mine, frozen_share(unit), done);
  comm.synchronize(done);
}

std::pair<std::size_t, std::size_t> ParamStore::resting(std::size_t unit) const {
  const Unit& u = units_[unit];
  const auto rank = static_cast<std::size_t>(rank_);
  if (whole()) return {0, u.layout.frozen_bytes()};
  return {u.frozen_cuts[rank], u.frozen_cuts[rank + 1]};
}

void ParamStore::set_resting(std::size_t unit, const std::byte* bytes) {
  const auto [begin, end] = resting(unit);
  device_.copy(frozen(unit), bytes, end - begin, device_.compute());
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

void ParamStore::gather_trainable(std::size_t unit, float* elements, Communicator& comm) const {
  const Unit& u = units_[unit];
  const std::size_t bytes = static_cast<std::size_t>(u.layout.trainable_elements()) * sizeof(float);
  if (bytes == 0) return;
  const std::size_t share = element_share(unit) * sizeof(float);
  const Buffer whole =
      device_.allocate(static_cast<std::size_t>(ranks_) * share, Tier::kDevice, Purpose::kCommunication);
  const Buffer staging = device_.allocate(bytes, Tier::kPinned, Purpose::kCommunication);
  comm.synchronize(comm.all_gather(whole.data(), u.share.master.data, share, device_.compute().record()));
  device_.copy(staging.data(), whole.data(), bytes, device_.compute());
  device_.compute().synchronize();
  std::memcpy(elements, staging.data(), bytes);
}

}  // namespace shardlora
