#include "comm/gpu_communicator.h"

#include "base/error.h"

namespace shardlora {

std::unique_ptr<Communicator> make_gpu_communicator(Rendezvous&, Device& device, const std::string&) {
  check_failed(__FILE__, __LINE__, "device.host_reads()",
               fmt::format("{}, but this build has no GPU backend", device.description()));
}

}  // namespace shardlora
