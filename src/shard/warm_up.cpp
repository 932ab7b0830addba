#include "shard/warm_up.h"

#include <algorithm>
#include <vector>

namespace shardlora {

namespace {

// `use(size, after)` issues a collective of that size.
template <typename Use>
void in_every_size(Device& device, Communicator& comm, std::size_t largest, Use use) {
  Event last = device.compute().record();
  for (std::size_t size = 1;; size *= 2) {
    last = use(std::min(size, largest), last);
    if (size >= largest) break;
  }
  comm.synchronize(last);
}

bool takes_memory(const Device& device, const Communicator& comm, std::size_t largest) {
  return comm.size() > 1 && largest > 0 && !device.host_reads();
}

Buffer some_memory(Device& device, std::size_t bytes) {
  Buffer memory = device.allocate(bytes, Tier::kDevice, Purpose::kCommunication);
  device.poison(memory.data(), memory.bytes(), device.compute());
  return memory;
}

}  // namespace

std::size_t largest_share(const ParamStore& store) {
  std::size_t largest = 0;
  for (std::size_t u = 0; u < store.units(); ++u)
    largest = std::max({largest, store.frozen_share(u), store.element_share(u) * sizeof(float)});
  return largest;
}

void gather_in_every_size(Device& device, Communicator& comm, std::size_t largest) {
  if (!takes_memory(device, comm, largest)) return;
  const auto ranks = static_cast<std::size_t>(comm.size()), rank = static_cast<std::size_t>(comm.rank());
  const Buffer memory = some_memory(device, ranks * largest);
  in_every_size(device, comm, largest, [&](std::size_t size, Event after) {
    return comm.all_gather(memory.data(), memory.data() + rank * size, size, after);
  });
}

void send_in_every_size(Device& device, Communicator& comm, std::size_t largest) {
  if (!takes_memory(device, comm, largest)) return;
  const auto ranks = static_cast<std::size_t>(comm.size());
  const Buffer memory = some_memory(device, 2 * ranks * largest);
  in_every_size(device, comm, largest, [&](std::size_t size, Event after) {
    std::vector<std::size_t> offsets;
    for (std::size_t r = 0; r <= ranks; ++r) offsets.push_back(r * size);
    return comm.all_to_all(memory.data(), offsets, memory.data() + ranks * largest, offsets, after);
  });
}

}  // namespace shardlora
