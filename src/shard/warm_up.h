// NCCL takes memory of the GPU when a communicator first meets a kind of collective in a size for which it picks
// another algorithm or more channels. Here it meets all of them before memory is shared out. Which
// sizes it tells apart is its own matter: they lie further from each other than a factor of two.
#pragma once

#include "backend/device.h"
#include "comm/communicator.h"
#include "shard/param_store.h"

namespace shardlora {

// The largest share of a rank in a unit's base or in its adapter, in bytes.
std::size_t largest_share(const ParamStore& store);

// All-gathers of shares of 1, 2, 4, ... and `largest` bytes. Collective, as the next; nothing where the device is the
// host.
void gather_in_every_size(Device& device, Communicator& comm, std::size_t largest);
// All-to-alls of as many bytes from every rank to every other one.
void send_in_every_size(Device& device, Communicator& comm, std::size_t largest);

}  // namespace shardlora
