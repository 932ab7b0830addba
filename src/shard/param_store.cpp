#include "shard/param_store.h"

#include <algorithm>
#include <cstring>

namespace shardlora {

namespace {

std::size_t whole_pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

ParamStore::ParamStore(Device& device, int rank, int ranks, const std::vector<UnitSpec>& units, Residence residence)
    : device_(device), rank_(rank), ranks_(ranks), residence_(residence) {
  if (residence.tier != Tier::kDevice) fail("base weights outside device memory are not in this version");
  const auto r = static_cast<std::size_t>(rank);
  std::size_t frozen_bytes = 0, masters_bytes = 0;
  for (const UnitSpec& spec : units) {
    Unit unit(spec);
    unit.frozen_cuts = even_cuts(unit.layout.frozen_bytes(), kPage, ranks);
    unit.element_cuts = even_cuts(static_cast<std::size_t>(unit.layout.trainable_elements()),
                                  static_cast<std::size_t>(kElementBlock), ranks);
    const bool sharded = residence.sharding == Sharding::kSharded;
    unit.frozen_begin = sharded ? unit.frozen_cuts[r] : 0;
    unit.frozen_end = sharded ? unit.frozen_cuts[r + 1] : unit.layout.frozen_bytes();
    unit.frozen_offset = frozen_bytes;
    unit.masters_offset = masters_bytes;
    frozen_bytes += whole_pages(unit.frozen_end - unit.frozen_begin);
    masters_bytes += whole_pages((unit.element_cuts[r + 1] - unit.element_cuts[r]) * sizeof(float));
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
  if (ranks_ == 1) {
    device_.copy(frozen(unit), flat, u.layout.frozen_bytes(), device_.compute());
    device_.compute().synchronize();
    return;
  }
  Buffer whole;
  if (rank_ == root) {
    whole = device_.allocate(u.layout.frozen_bytes(), Tier::kDevice, Purpose::kCommunication);
    device_.copy(whole.data(), flat, whole.bytes(), device_.compute());
  }
  // Only the root has something to send: to each rank its pages, or the whole unit to all.
  const auto ranks = static_cast<std::size_t>(ranks_);
  std::vector<std::size_t> from_root(ranks + 1, 0);
  std::fill(from_root.begin() + root + 1, from_root.end(), frozen_share(unit));
  if (residence_.sharding == Sharding::kReplicated) {
    comm.synchronize(comm.all_gather(frozen(unit), whole.data(), from_root, device_.compute().record()));
    return;
  }
  const std::vector<std::size_t> send = rank_ == root ? u.frozen_cuts : std::vector<std::size_t>(ranks + 1, 0);
  comm.synchronize(comm.all_to_all(frozen(unit), from_root, whole.data(), send, device_.compute().record()));
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
  const Buffer whole = device_.allocate(bytes, Tier::kDevice, Purpose::kCommunication);
  const Buffer staging = device_.allocate(bytes, Tier::kPinned, Purpose::kCommunication);
  std::vector<std::size_t> offsets = u.element_cuts;
  for (std::size_t& o : offsets) o *= sizeof(float);
  comm.synchronize(comm.all_gather(whole.data(), u.share.master.data, offsets, device_.compute().record()));
  device_.copy(staging.data(), whole.data(), bytes, device_.compute());
  device_.compute().synchronize();
  std::memcpy(elements, staging.data(), bytes);
}

}  // namespace shardlora
