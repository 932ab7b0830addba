// The device that the op tests of tests/backend/ops run on: which one, the file says that the test program is linked
// with. One for the whole program.
#pragma once

#include <cstddef>
#include <memory>

#include "backend/device.h"

namespace shardlora {

Device& device_under_test();
// Memory that its kernels read and write; for the CPU from malloc, where AddressSanitizer watches every byte.
std::shared_ptr<std::byte> memory_under_test(std::size_t bytes);

}  // namespace shardlora
