// The communicator between GPUs: NCCL's, and where NCCL cannot be used, as for ranks that share a card, one through
// pinned host memory. comm/nccl/ implements it where the program has a GPU backend, comm/no_gpu/ where it has none.
#pragma once

#include <memory>
#include <string>

#include "backend/device.h"
#include "comm/communicator.h"
#include "comm/rendezvous.h"

namespace shardlora {

// Collective. An Error says which library is missing and where it comes from.
std::unique_ptr<Communicator> make_gpu_communicator(Rendezvous& rendezvous, Device& device, const std::string& name);

}  // namespace shardlora
