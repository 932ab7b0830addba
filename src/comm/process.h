// Whether a process of this host still lives.
#pragma once

#include <cstdint>

namespace shardlora {

// When the process began, in clock ticks since boot; 0 if it has ended (a zombie has). A pid is used again one day;
// with its start it names one process only.
std::uint64_t process_start(int pid);

}  // namespace shardlora
