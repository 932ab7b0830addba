// What the program and its MPI module agree on: the module is loaded only under an MPI launcher, so the program itself
// needs no MPI. Plain functions, no exceptions across the border.
#pragma once

#include <cstddef>

namespace shardlora {

struct MpiModule {
  // Null, or why MPI could not be started (valid until the next call). Threads may call at the same time afterwards.
  const char* (*initialize)();
  int (*rank)();
  int (*size)();
  // A new communicator over all ranks, its messages independent of all others. Collective, from one thread at a time.
  // Lives until `finalize`.
  void* (*duplicate)();
  // Sends send_bytes[r] bytes at send[r] to rank r and receives receive_bytes[r] at receive[r] from it; own entries are
  // not looked at. Blocks without holding a core. Returns -1 when done, or the rank that aborted the communicator.
  int (*exchange)(void* communicator, const std::byte* const* send, const std::size_t* send_bytes,
                  std::byte* const* receive, const std::size_t* receive_bytes);
  // As above: -1 or the rank that aborted.
  int (*barrier)(void* communicator);
  // Tells all ranks that wait in `communicator`, or will, to stop. Returns at once, from any thread.
  void (*abort_communicator)(void* communicator);
  // The rank that aborted it, or -1. At once, from any thread.
  int (*aborted)(void* communicator);
  // Ends the processes of all ranks.
  void (*abort_job)(int exit_code);
  void (*finalize)();
};

inline constexpr char kMpiModuleFile[] = "libshardlora_mpi.so";
inline constexpr char kMpiModuleSymbol[] =
    "shardlora_mpi_module";  // extern "C" const MpiModule* shardlora_mpi_module()

}  // namespace shardlora
