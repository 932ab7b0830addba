#include "comm/rendezvous.h"

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "comm/gpu_communicator.h"
#include "comm/host_communicator.h"
#include "comm/mpi_rendezvous.h"
#include "comm/single_rendezvous.h"
#include "comm/tcp_rendezvous.h"

namespace shardlora {

namespace {

bool set(const char* name) { return std::getenv(name) != nullptr; }

// 0: not set.
int number(const char* name) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return 0;
  int value = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
  if (error != std::errc{} || *end != '\0' || value < 0)
    fail("environment variable {}={}: not a number of ranks", name, text);
  return value;
}

}  // namespace

std::unique_ptr<Communicator> Rendezvous::make_communicator(Device& device, const std::string& name) {
  if (!device.host_reads()) return make_gpu_communicator(*this, device, name);
  return std::make_unique<HostCommunicator>(make_transport(), device, name);
}

std::unique_ptr<Rendezvous> make_rendezvous() {
  // Set for every rank by: Open MPI's mpirun; srun --mpi=pmix; srun --mpi=pmi2 and MPICH's mpirun.
  if (set("OMPI_COMM_WORLD_SIZE")) return std::make_unique<MpiRendezvous>(number("OMPI_COMM_WORLD_SIZE"));
  if (set("PMIX_RANK")) return std::make_unique<MpiRendezvous>(number("SLURM_STEP_NUM_TASKS"));
  if (set("PMI_RANK")) return std::make_unique<MpiRendezvous>(number("PMI_SIZE"));
  // Of torchrun and launch/shardrun.
  if (number("WORLD_SIZE") > 1) return std::make_unique<TcpRendezvous>(tcp_rank_of_environment(), SHARDLORA_VERSION);
  // Only srun sets the step's variables; SLURM_NTASKS alone also stands in an allocation's shell and in a batch script.
  if (const int tasks = number("SLURM_STEP_NUM_TASKS"); tasks > 1)
    fail(
        "srun started {} tasks, but without PMI they cannot find each other; start with srun --mpi=pmix, or mpirun -np "
        "{} in the "
        "allocation",
        tasks, tasks);
  return std::make_unique<SingleRendezvous>();
}

}  // namespace shardlora
