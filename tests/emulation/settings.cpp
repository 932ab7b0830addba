#include "emulation/settings.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "emulation/runtime.h"

namespace emulation {

namespace {

template <typename T>
void read(const char* name, T& value) {
  if (const char* text = std::getenv(name)) value = static_cast<T>(std::strtoull(text, nullptr, 10));
}

Settings from_environment() {
  Settings s;
  read("EMULATED_CUDA_DEVICES", s.devices);
  read("EMULATED_CUDA_DRIVER", s.driver);
  read("EMULATED_CUDA_MEMORY", s.memory);
  read("EMULATED_CUDA_SEED", s.seed);
  read("EMULATED_CUDA_PAUSE", s.longest_pause);
  read("EMULATED_CUDA_QUEUE", s.queue);
  if (s.queue == 0) {
    std::fprintf(stderr, "emulation: EMULATED_CUDA_QUEUE=0: no kernel could be launched\n");
    std::abort();
  }
  if (const char* text = std::getenv("EMULATED_CUDA_CAPABILITY"))
    if (std::sscanf(text, "%d.%d", &s.major, &s.minor) != 2) {
      std::fprintf(stderr, "emulation: EMULATED_CUDA_CAPABILITY=%s: write it like 8.6\n", text);
      std::abort();
    }
  return s;
}

std::atomic<std::uint64_t>& current_seed() {
  static std::atomic<std::uint64_t> current = settings().seed;
  return current;
}

std::atomic<std::uint64_t> launches = 0;

}  // namespace

std::uint64_t seed() { return current_seed(); }
std::uint64_t next_seed() { return mixed(seed(), ++launches); }
void set_seed(unsigned long long value) {
  current_seed() = value;
  launches = 0;
}

const Settings& settings() {
  static const Settings s = from_environment();
  return s;
}

}  // namespace emulation
