#include "backend/gpu.h"

#include "base/error.h"

namespace shardlora {

std::string gpu_obstacle() {
  return "this build has no CUDA backend: build it where the CUDA toolkit is, with scripts/build -DWITH_CUDA=ON";
}

int gpu_count() { return 0; }

std::unique_ptr<Device> make_gpu_device(const GpuOptions&) { fail("backend: cuda: {}", gpu_obstacle()); }

}  // namespace shardlora
