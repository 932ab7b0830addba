// What the ranks tell each other at the end of a step: the losses of their rows, their blocks' sums of squares and how
// their hosts are. It lies on the device by rank, travels in one all-gather, and the host waits once for all (and where
// ranks share a GPU once more, for the all-gather: a GPU does not wait for a host's stream).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/device.h"
#include "comm/communicator.h"

namespace shardlora {

struct HostStatus {
  std::int64_t stop = 0;                                    // 1: a signal asked for the end
  std::int64_t device_peak_bytes = 0, host_peak_bytes = 0;  // in use at most, so far
};

class StepReport {
 public:
  // rows: of a micro-batch at most; squares: of every rank, by rank.
  StepReport(Device& device, Communicator& comm, std::int64_t micro_batches, std::int64_t rows,
             std::vector<std::size_t> squares);

  // Bytes that a rank brings to an exchange, at most; arguments as above.
  static std::size_t largest_part(std::int64_t micro_batches, std::int64_t rows,
                                  const std::vector<std::size_t>& squares);

  // A new report, on the micro-batches [cuts[r], cuts[r + 1]) of rank r.
  void begin(std::vector<std::int64_t> cuts);
  // To be filled by the compute stream: `count` losses of this rank's micro-batch `place`, and this rank's squares.
  Tensor losses(std::int64_t place, std::int64_t count) const;
  Tensor squares() const;
  // Collective. Blocks until everything submitted to the compute stream is done and all ranks' reports are here.
  // Throws what failed.
  void exchange(const HostStatus& mine);

  // Of all ranks, until the next `begin`. micro_batch: of the step.
  std::span<const float> losses_of(std::size_t micro_batch, std::int64_t count) const;
  std::span<const float> squares_of(std::size_t rank) const;
  HostStatus status_of(std::size_t rank) const;

 private:
  // A rank's part: status, squares, losses. All are as long as the longest.
  std::size_t part_bytes(std::size_t rank, std::int64_t micro_batches) const;
  std::size_t squares_at(std::size_t rank) const { return rank * part_ + sizeof(HostStatus); }
  std::size_t losses_at(std::size_t rank, std::int64_t place) const;
  const float* floats(std::size_t offset) const { return reinterpret_cast<const float*>(on_host_.data() + offset); }

  Device& device_;
  Communicator& comm_;
  std::size_t rank_, row_bytes_;
  std::vector<std::size_t> squares_;
  std::vector<std::int64_t> cuts_;
  std::size_t part_ = 0;  // bytes of a rank's part
  Buffer on_device_, on_host_;
};

}  // namespace shardlora
