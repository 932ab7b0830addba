#include "train/step_report.h"

#include <algorithm>
#include <cstring>

#include "shard/gradient_tree.h"

namespace shardlora {

StepReport::StepReport(Device& device, Communicator& comm, std::int64_t micro_batches, std::int64_t rows,
                       std::vector<std::size_t> squares)
    : device_(device),
      comm_(comm),
      rank_(static_cast<std::size_t>(comm.rank())),
      row_bytes_(static_cast<std::size_t>(rows) * sizeof(float)),
      squares_(std::move(squares)) {
  // Smaller steps have smaller parts, though a rank's own may be larger in one of them.
  const std::size_t bytes = squares_.size() * largest_part(micro_batches, rows, squares_);
  on_device_ = device.allocate(bytes, Tier::kDevice, Purpose::kCommunication);
  on_host_ = device.allocate(bytes, Tier::kPinned, Purpose::kCommunication);
  begin(deal_micro_batches(micro_batches, comm.size()));
}

std::size_t StepReport::largest_part(std::int64_t micro_batches, std::int64_t rows,
                                     const std::vector<std::size_t>& squares) {
  const auto ranks = static_cast<std::int64_t>(squares.size());
  return sizeof(HostStatus) + *std::max_element(squares.begin(), squares.end()) * sizeof(float) +
         static_cast<std::size_t>((micro_batches + ranks - 1) / ranks * rows) * sizeof(float);
}

void StepReport::begin(std::vector<std::int64_t> cuts) {
  cuts_ = std::move(cuts);
  part_ = 0;
  for (std::size_t r = 0; r < squares_.size(); ++r) part_ = std::max(part_, part_bytes(r, cuts_[r + 1] - cuts_[r]));
  CHECK(squares_.size() * part_ <= on_device_.bytes(), "a report of {} bytes a rank in {} of all", part_,
        on_device_.bytes());
}

std::size_t StepReport::part_bytes(std::size_t rank, std::int64_t micro_batches) const {
  return sizeof(HostStatus) + squares_[rank] * sizeof(float) + static_cast<std::size_t>(micro_batches) * row_bytes_;
}

std::size_t StepReport::losses_at(std::size_t rank, std::int64_t place) const {
  return rank * part_ + part_bytes(rank, place);
}

Tensor StepReport::losses(std::int64_t place, std::int64_t count) const {
  return on_device_.tensor(DType::kF32, {count}, losses_at(rank_, place));
}

Tensor StepReport::squares() const {
  return on_device_.tensor(DType::kF32, {static_cast<std::int64_t>(squares_[rank_])}, squares_at(rank_));
}

void StepReport::exchange(const HostStatus& mine) {
  const std::size_t begin = rank_ * part_;
  std::memcpy(on_host_.data() + begin, &mine, sizeof mine);
  Stream& compute = device_.compute();
  device_.copy(on_device_.data() + begin, on_host_.data() + begin, sizeof mine, compute);
  compute.wait(comm_.all_gather(on_device_.data(), on_device_.data() + begin, part_, compute.record()));
  device_.copy(on_host_.data(), on_device_.data(), squares_.size() * part_, compute);
  compute.synchronize();
  comm_.synchronize({});
}

std::span<const float> StepReport::losses_of(std::size_t micro_batch, std::int64_t count) const {
  const auto m = static_cast<std::int64_t>(micro_batch);
  const auto rank = static_cast<std::size_t>(std::upper_bound(cuts_.begin(), cuts_.end(), m) - cuts_.begin() - 1);
  return {floats(losses_at(rank, m - cuts_[rank])), static_cast<std::size_t>(count)};
}

std::span<const float> StepReport::squares_of(std::size_t rank) const {
  return {floats(squares_at(rank)), squares_[rank]};
}

HostStatus StepReport::status_of(std::size_t rank) const {
  HostStatus status;
  std::memcpy(&status, on_host_.data() + rank * part_, sizeof status);
  return status;
}

}  // namespace shardlora
