// How far a base is prepared: one line that stays on a terminal, elsewhere a line every few seconds.
#pragma once

#include <chrono>
#include <cstdint>

namespace shardlora {

class PreparedProgress {
 public:
  PreparedProgress();
  // Bytes packed so far; 0 when packing begins.
  void operator()(std::uint64_t done, std::uint64_t all);

 private:
  using Clock = std::chrono::steady_clock;
  bool terminal_;
  Clock::time_point began_, told_;
};

}  // namespace shardlora
