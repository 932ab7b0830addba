// Work on many items in several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace shardlora {

// The processors that this thread may run on, ascending; an Error where the system does not say.
std::vector<int> own_processors();
// How many they are.
inline int available_processors() { return static_cast<int>(own_processors().size()); }

// Calls work(0) … work(count - 1), each once, in any order, in up to `threads` threads of which the caller is one.
// Returns when all are done. If calls throw, one of the exceptions is thrown on and calls that had not begun are left
// out.
template <typename Work>
void parallel_for(std::size_t count, int threads, const Work& work) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failed;
  std::mutex mutex;
  const auto run = [&] {
    try {
      for (std::size_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      failed = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> others;
    const std::size_t helpers = std::min(count, static_cast<std::size_t>(std::max(threads, 1)));
    for (std::size_t t = 1; t < helpers; ++t) others.emplace_back(run);
    run();
  }
  if (failed) std::rethrow_exception(failed);
}

}  // namespace shardlora
