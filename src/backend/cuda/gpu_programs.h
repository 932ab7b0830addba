// Who else uses a GPU, from the driver's management library (NVML), for messages.
#pragma once

#include <string>

namespace shardlora {

// " (process 1234: 20.1 GiB, process 99: 0.4 GiB)", without this process; empty where nobody else or NVML is there.
std::string other_programs_on_gpu(int ordinal);

}  // namespace shardlora
