#include "backend/gpu.h"
#include "device_of_rank.h"

namespace shardlora {

std::unique_ptr<Device> make_device_of_rank(const DeviceOfRank&, const Rendezvous& rendezvous) {
  return make_gpu_device({.ordinal = rendezvous.local_rank() % gpu_count(), .poison = true});
}

}  // namespace shardlora
