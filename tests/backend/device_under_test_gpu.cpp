#include "backend/device_under_test.h"
#include "backend/gpu.h"

namespace shardlora {

Device& device_under_test() {
  static const std::unique_ptr<Device> device = make_gpu_device({});
  return *device;
}

std::shared_ptr<std::byte> memory_under_test(std::size_t bytes) {
  const auto buffer =
      std::make_shared<Buffer>(device_under_test().allocate(bytes + 1, Tier::kDevice, Purpose::kWorkspace));
  return {buffer, buffer->data()};
}

}  // namespace shardlora
