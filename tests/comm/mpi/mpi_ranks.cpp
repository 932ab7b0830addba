// Runs under mpirun: every check of comm/conformance.h through MPI and through shared memory. Exit code 0 when all
// hold.
#include <cstdio>
#include <exception>

#include "backend/cpu/cpu_device.h"
#include "comm/conformance.h"
#include "comm/host_communicator.h"
#include "comm/mpi_rendezvous.h"

int main(int argc, char** argv) {
  using namespace shardlora;
  if (argc != 2) return 2;
  std::unique_ptr<Rendezvous> rendezvous;
  try {
    rendezvous = make_rendezvous();
    auto* const ranks = dynamic_cast<MpiRendezvous*>(rendezvous.get());
    require(ranks != nullptr, "started by mpirun, but these are not ranks of MPI");
    require(ranks->size() == std::atoi(argv[1]), "not as many ranks as mpirun was asked for");
    require(ranks->local_size() == ranks->size() && ranks->local_rank() == ranks->rank(),
            "ranks of one host do not know it");
    CpuDevice device({.threads = 1, .mode = StreamMode::kDelayed, .seed = static_cast<std::uint64_t>(ranks->rank())});
    for (const bool shared : {false, true}) {
      const auto make = [&](const char* name) -> std::unique_ptr<Communicator> {
        if (shared) return ranks->make_communicator(device, name);
        return std::make_unique<HostCommunicator>(ranks->make_mpi_transport(), device, name);
      };
      CommContext context{*ranks, device, make};
      for (const CommCheck& check : comm_checks()) {
        if (ranks->rank() == 0)
          std::printf("%s through %s\n", check.name, shared ? "shared memory" : "MPI"), std::fflush(stdout);
        check.run(context);
        ranks->exchange({});  // ranks that are done with a failed communicator must not run ahead into the next check
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    if (rendezvous) rendezvous->abort(1);
    return 1;
  }
  return 0;
}
