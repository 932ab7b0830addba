#include "backend/cpu/cpu_device.h"
#include "device_of_rank.h"

namespace shardlora {

std::unique_ptr<Device> make_device_of_rank(const DeviceOfRank& options, const Rendezvous&) {
  return make_cpu_device({.threads = options.threads,
                          .device_limit = 0,
                          .host_limit = 0,
                          .mode = options.mode,
                          .seed = options.seed,
                          .poison = true});
}

}  // namespace shardlora
