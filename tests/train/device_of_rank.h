// The device of a rank in the tests of training; which kind, the file says that the test program is linked with.
#pragma once

#include <cstring>
#include <memory>
#include <span>

#include "backend/cpu/cpu_stream.h"
#include "backend/device.h"
#include "comm/rendezvous.h"

namespace shardlora {

struct DeviceOfRank {
  int threads = 1;                        // of a CPU's kernels
  StreamMode mode = StreamMode::kInline;  // of a CPU's streams
  std::uint64_t seed = 7;                 // of a CPU's delays
};

// With poison on.
std::unique_ptr<Device> make_device_of_rank(const DeviceOfRank& options, const Rendezvous& rendezvous);

// A copy of `bytes` that the device and its communicators can read.
inline Buffer pinned_copy(Device& device, std::span<const std::byte> bytes) {
  Buffer copy = device.allocate(bytes.size(), Tier::kPinned, Purpose::kWorkspace);
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

}  // namespace shardlora
