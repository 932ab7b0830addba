// A transport for memory that a host thread cannot read, a GPU's: bytes go through pinned memory, whose size is fixed,
// in pieces; while one piece is under way, the next one is on its way to the host and the last one to the device. Any
// pointer may also be host memory. Uses nothing but Device and Stream, so it is the same on every device.
#pragma once

#include <array>
#include <memory>

#include "backend/device.h"
#include "comm/transport.h"

namespace shardlora {

inline constexpr std::size_t kStagingBytes = std::size_t{16} << 20;  // of pinned memory, whatever the number of ranks

class StagedTransport final : public Transport {
 public:
  // Allocates all that it will ever need. `staging_bytes`: at least 16 KiB a rank.
  StagedTransport(std::unique_ptr<Transport> transport, Device& device, const std::string& name,
                  std::size_t staging_bytes = kStagingBytes);

  int rank() const override { return transport_->rank(); }
  int size() const override { return transport_->size(); }
  void all_gather(std::byte* out, const std::byte* mine, std::span<const std::size_t> offsets) override;
  void all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                  std::span<const std::size_t> send) override;
  void barrier() override { transport_->barrier(); }
  void abort() noexcept override { transport_->abort(); }
  void check() override { transport_->check(); }

 private:
  // Runs `chunks` rounds of: load(round) from the device, move(round) between ranks, store(round) to the device.
  template <typename Load, typename Move, typename Store>
  void pipeline(std::size_t chunks, Load load, Move move, Store store);
  template <typename Work>
  void finish_copies(Work work);
  std::byte* half(std::size_t round) { return staging_.data() + round % 2 * half_bytes_; }
  void copy(std::byte* to, const std::byte* from, std::size_t bytes) {
    if (bytes != 0 && to != from) device_.copy(to, from, bytes, *copies_);
  }
  std::size_t most_of_all(std::size_t mine);

  const std::unique_ptr<Transport> transport_;
  Device& device_;
  const std::size_t half_bytes_;
  Buffer staging_;
  const std::unique_ptr<Stream> copies_;  // after the memory: drains before that goes
};

}  // namespace shardlora
