// Numbers of the host for all ranks, through a communicator that moves memory of the device.
#pragma once

#include <span>

#include "backend/device.h"
#include "comm/communicator.h"

namespace shardlora {

class HostExchange {
 public:
  // bytes: of all ranks together, so many are ready at once.
  HostExchange(Device& device, Communicator& communicator, std::size_t bytes = 0);

  // Everybody's bytes, the same number of each, by rank; valid until the next call. Collective; blocks, and throws what
  // failed. Memory grows where more is exchanged than ever before.
  std::span<const std::byte> all_gather(std::span<const std::byte> mine);

 private:
  void reserve(std::size_t bytes);

  Device& device_;
  Communicator& communicator_;
  Buffer on_device_, on_host_;
};

}  // namespace shardlora
