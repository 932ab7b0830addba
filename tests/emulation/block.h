// Runs the threads of a block as fibers, in an order that is shuffled anew at every barrier. A thread that never waits
// costs a function call: its stack is used by the next one. Breaches of the rules of barriers end the kernel.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

#include "emulation/device.h"
#include "emulation/fiber.h"

namespace emulation {

inline constexpr unsigned kMostThreads = 1024, kWarpSize = 32;

// What went wrong in a kernel: code and text, empty where nothing did.
struct Failure {
  cudaError_t code = cudaSuccess;
  std::string text;
};

class Block {
 public:
  Block();
  ~Block();

  // Runs `body` once for each thread; blockDim, blockIdx and gridDim are set.
  Failure run(const std::function<void()>& body, std::uint64_t seed);

  // Called by the running thread.
  void barrier(const std::source_location& where);
  void meet_in_warp(const char* what, unsigned mask, const std::source_location& where, void* payload,
                    void (*complete)(Payloads, unsigned));
  // Ends the kernel: `fail` unwinds the thread that runs. Where it cannot be unwound (a signal, a check of the
  // compiler) `note` what is wrong, then `leave`, with nothing to destroy on the stack.
  [[noreturn]] void fail(cudaError_t code, const std::string& text);
  void note(cudaError_t code, const std::string& text);
  [[noreturn]] void leave();

  // The block whose thread runs on this host thread; null outside of kernels.
  static Block* running();
  unsigned thread() const { return current_; }
  // Of the running thread: begun and not waited for.
  struct Copy {
    void* to;
    const void* from;
  };
  std::vector<Copy>& copies() { return copies_[current_]; }
  // Forgets what waits on the stacks; also before another host thread uses the block.
  void restart();
  bool stack_overran(const void* address) const;

 private:
  enum class State : std::uint8_t { kNew, kReady, kAtBarrier, kInWarp, kEnded };
  struct Thread {
    State state;
    const char* waits_for;
    std::source_location where;
    Fiber* fiber;
  };
  // Lanes of a warp that wait for each other.
  struct Meeting {
    const char* what;
    unsigned mask, arrived;
    std::source_location where;
  };
  struct Warp {
    std::vector<Meeting> meetings;
    std::array<void*, kWarpSize> payloads;
  };

  void serve(Fiber& self);
  void waits(State state, const char* what, const std::source_location& where);
  void next();
  unsigned take_ready();
  void make_ready(unsigned first, unsigned count, std::uint32_t mask);
  void set_current(unsigned thread);
  Fiber& free_stack();
  std::string states() const;
  std::uint32_t random();

  const std::function<void()>* body_ = nullptr;
  unsigned threads_ = 0, current_ = 0, ended_ = 0, at_barrier_ = 0;
  std::source_location barrier_;
  std::uint64_t random_ = 0;
  std::vector<Thread> thread_;
  std::vector<std::vector<Copy>> copies_;
  std::vector<uint3> index_;  // threadIdx of each
  dim3 shape_{0, 0, 0};       // the block size that they are for
  std::vector<Warp> warps_;
  std::vector<unsigned> ready_;  // ring of threads that can go on
  unsigned first_ready_ = 0, ready_count_ = 0;
  Fiber host_;
  std::vector<std::unique_ptr<Fiber>> stacks_;
  std::vector<Fiber*> free_;
  Failure failure_;
};

}  // namespace emulation
