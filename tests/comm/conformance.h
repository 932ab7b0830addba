// What every communicator promises, as checks that run on all ranks of a job at once and throw what is wrong. They know
// nothing of the test framework, so that ranks may be threads, forked processes or processes of mpirun.
#pragma once

#include <functional>
#include <vector>

#include "backend/device.h"
#include "comm/communicator.h"
#include "comm/rendezvous.h"

namespace shardlora {

struct CommContext {
  Rendezvous& ranks;
  Device& device;  // one that delays its streams
  std::function<std::unique_ptr<Communicator>(const char* name)> make;
};

struct CommCheck {
  const char* name;
  void (*run)(CommContext&);
};

const std::vector<CommCheck>& comm_checks();

// Throws std::runtime_error.
void require(bool condition, const char* sentence);

}  // namespace shardlora
