#include "base/parallel.h"

#include <sched.h>

namespace shardlora {

int available_processors() {
  cpu_set_t mine{};
  if (sched_getaffinity(0, sizeof mine, &mine) != 0) return 1;
  return std::max(1, CPU_COUNT(&mine));
}

}  // namespace shardlora
