#include "comm/single_rendezvous.h"

#include "comm/host_communicator.h"
#include "comm/window_transport.h"

namespace shardlora {

std::unique_ptr<Communicator> SingleRendezvous::make_communicator(Device& device, const std::string& name) {
  return std::make_unique<HostCommunicator>(std::make_unique<WindowTransport>(WindowSegment::for_threads(1), 0), device,
                                            name);
}

}  // namespace shardlora
