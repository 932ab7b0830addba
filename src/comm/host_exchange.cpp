#include "comm/host_exchange.h"

#include <cstring>

namespace shardlora {

HostExchange::HostExchange(Device& device, Communicator& communicator, std::size_t bytes)
    : device_(device), communicator_(communicator) {
  reserve(bytes);
}

void HostExchange::reserve(std::size_t bytes) {
  if (on_host_.bytes() >= bytes) return;
  on_device_ = Buffer();
  on_host_ = Buffer();
  on_device_ = device_.allocate(bytes, Tier::kDevice, Purpose::kCommunication);
  on_host_ = device_.allocate(bytes, Tier::kPinned, Purpose::kCommunication);
}

std::span<const std::byte> HostExchange::all_gather(std::span<const std::byte> mine) {
  const std::size_t total = static_cast<std::size_t>(communicator_.size()) * mine.size();
  reserve(total);
  if (total == 0) return {};
  const std::size_t begin = static_cast<std::size_t>(communicator_.rank()) * mine.size();
  std::memcpy(on_host_.data() + begin, mine.data(), mine.size());
  std::byte* const place = on_device_.data() + begin;
  device_.copy(place, on_host_.data() + begin, mine.size(), device_.compute());
  communicator_.synchronize(
      communicator_.all_gather(on_device_.data(), place, mine.size(), device_.compute().record()));
  device_.copy(on_host_.data(), on_device_.data(), total, device_.compute());
  device_.compute().synchronize();
  return {on_host_.data(), total};
}

}  // namespace shardlora
