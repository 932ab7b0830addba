// A stack that can be left and come back to, on one host thread. The switch is ours: some 20 instructions on x86-64
// (fiber_x86_64.cpp), ucontext elsewhere (fiber_ucontext.cpp).
#pragma once

#include <cstddef>

namespace emulation {

class Fiber {
 public:
  // The host thread's own stack: it can be switched from and back to.
  Fiber() = default;
  // entry(argument, *this) runs at the first switch to the fiber and never returns.
  using Entry = void (*)(void* argument, Fiber& self);
  Fiber(Entry entry, void* argument, unsigned index);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Saves the running stack in *this and goes on where `to` was left.
  void switch_to(Fiber& to);
  // Forgets what ran there: the next switch starts with the entry again.
  void restart();
  // Behind the guard: a stack that overran is found here.
  bool overran(const void* address) const { return address >= memory_ && address < memory_ + kGuard; }

 private:
  friend void start_fiber(Fiber*);
  static constexpr std::size_t kGuard = 4096, kBytes = (256 << 10) + kGuard;

  void* saved_ = nullptr;  // where the switch left off
  char* memory_ = nullptr;
  std::size_t colour_ = 0;  // tops of stacks lie at different places in a page: else they fall on the same cache lines
  Entry entry_ = nullptr;
  void* argument_ = nullptr;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
  void* tsan_ = nullptr;  // ThreadSanitizer's view of this stack
};

}  // namespace emulation
