#include <cstdlib>

#include "backend/cpu/cpu_device.h"
#include "backend/device_under_test.h"

namespace shardlora {

Device& device_under_test() {
  static CpuDevice device({.threads = 2});
  return device;
}

std::shared_ptr<std::byte> memory_under_test(std::size_t bytes) {
  return {static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 64) / 64 * 64)), [](std::byte* p) { std::free(p); }};
}

}  // namespace shardlora
