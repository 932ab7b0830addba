// Starts ranks of this program on this host and stands by them: what launch/shardrun calls. Each rank is a process with
// torchrun's variables. Rank 0 keeps the terminal, lines of the others carry their number. One Ctrl-C or SIGTERM is
// passed on once, so that the ranks can stop after their step. A rank that ends with an error takes the others with it,
// and so does the end of this process, however it comes.
#pragma once

#include <string>
#include <vector>

namespace shardlora {

struct Launch {
  int ranks = 1;
  int port = 0;                      // 0: a free one
  std::vector<std::string> command;  // the program's arguments
};

// From `[--nproc-per-node N] [--master-port P] -- COMMAND ...`; UsageError where that is not what it says.
Launch parse_launch(const std::vector<std::string>& arguments);
// The exit code of the first rank that failed (128 + n where signal n ended it), or 0.
int launch_ranks(const Launch& launch);

inline constexpr char kLaunchHelp[] =
    R"(usage: launch/shardrun [--nproc-per-node N] [--master-port P] -- COMMAND [ARGUMENT ...]

Starts N ranks of shardlora on this host, e.g.  launch/shardrun --nproc-per-node 2 -- train my.yaml

  --nproc-per-node N   ranks; 1 where it is not given
  --master-port P      the port of 127.0.0.1 where ranks meet; a free one where it is not given

Ctrl-C or SIGTERM is passed on to the ranks, which stop after their step; a second one ends them at once.
Exit code: that of the first rank that failed. Several hosts: mpirun, srun --mpi=pmix or torchrun --no-python.
)";

}  // namespace shardlora
