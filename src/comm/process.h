// Which host this is, and whether a process of it still lives.
#pragma once

#include <cstdint>
#include <string>

namespace shardlora {

// When the process began, in clock ticks since boot; 0 if it has ended (a zombie has). A pid is used again one day;
// with its start it names one process only.
std::uint64_t process_start(int pid);

// The same text on two ranks if shared memory and process numbers mean the same to both.
std::string host_identity();

}  // namespace shardlora
