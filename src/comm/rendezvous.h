// How ranks find each other before there is a communicator: who am I, how many are we, and small strings to all.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/device.h"
#include "comm/communicator.h"
#include "comm/transport.h"

namespace shardlora {

class Rendezvous {
 public:
  virtual ~Rendezvous() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Ranks on this host, and the place of this one among them.
  virtual int local_rank() const = 0;
  virtual int local_size() const = 0;
  // Everybody's string, by rank. Also a barrier.
  virtual std::vector<std::string> exchange(const std::string& mine) = 0;
  // A communicator over all ranks for memory of `device`. Collective. `name` tells streams and threads apart in logs.
  // Each call makes an independent one.
  std::unique_ptr<Communicator> make_communicator(Device& device, const std::string& name);
  // What moves host memory between all ranks: shared memory where all are on this host, else the launcher's way.
  // Collective; returns when it is there on every rank.
  virtual std::unique_ptr<Transport> make_transport() = 0;
  // Ends the other ranks' processes as far as the launcher can (MPI_Abort); for a rank that is about to exit with an
  // error.
  virtual void abort(int exit_code) noexcept = 0;
};

// From the environment: MPI under mpirun or srun (a module loaded only then), TCP where torchrun or launch/shardrun set
// RANK and WORLD_SIZE, else a single rank. Variables of a launcher that this build can't serve are an Error, never a
// silent single rank.
std::unique_ptr<Rendezvous> make_rendezvous();

}  // namespace shardlora
