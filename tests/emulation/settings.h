// What the environment says about the emulated machine, read once; tests may change `pauses` and injected failures
// through runtime.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulation {

struct Settings {
  int devices = 1;                            // EMULATED_CUDA_DEVICES; 0: a machine without a card
  int major = 9, minor = 0;                   // EMULATED_CUDA_CAPABILITY=8.6
  int driver = 13000;                         // EMULATED_CUDA_DRIVER; 0: no driver
  std::size_t memory = std::size_t{8} << 30;  // EMULATED_CUDA_MEMORY: bytes of a device
  std::uint64_t seed = 1;                     // EMULATED_CUDA_SEED: order of threads and blocks, pauses of streams
  std::size_t queue = 1024;      // EMULATED_CUDA_QUEUE: kernels and copies of a stream under way before the host waits
  unsigned longest_pause = 100;  // EMULATED_CUDA_PAUSE: microseconds that a stream may dawdle before a piece of work
};

const Settings& settings();

// The seed, which tests may change; another one for each launch.
std::uint64_t seed();
std::uint64_t next_seed();

// A different number for every (seed, a, b).
constexpr std::uint64_t mixed(std::uint64_t seed, std::uint64_t a, std::uint64_t b = 0) {
  std::uint64_t x = seed * 0x9E3779B97F4A7C15U + a * 0xD1B54A32D192ED03U + b * 0x8CB92BA72F3D8DD7U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

}  // namespace emulation
