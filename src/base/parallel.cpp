#include "base/parallel.h"

#include <sched.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace shardlora {

std::vector<int> own_processors() {
  cpu_set_t mine{};
  if (sched_getaffinity(0, sizeof mine, &mine) != 0)
    fail("cannot read which processors this process may use: {}", std::strerror(errno));
  std::vector<int> processors;
  for (int p = 0; p < CPU_SETSIZE; ++p)
    if (CPU_ISSET(p, &mine)) processors.push_back(p);
  return processors;
}

}  // namespace shardlora
