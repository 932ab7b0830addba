#include "emulation/fiber.h"

#include <pthread.h>
#include <sys/mman.h>

#include <stdexcept>

#include "emulation/sanitizers.h"

namespace emulation {

// What a switch saves and restores, in fiber_x86_64.cpp or fiber_ucontext.cpp.
void switch_stacks(void** save, void* to);
void* prepare_stack(char* bottom, char* top, Fiber* fiber);

namespace {
thread_local Fiber* came_from = nullptr;
}

void start_fiber(Fiber* fiber) {
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(nullptr, &came_from->bottom_, &came_from->size_);
  fiber->entry_(fiber->argument_, *fiber);
}

Fiber::Fiber(Entry entry, void* argument, unsigned index) : entry_(entry), argument_(argument) {
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("emulation: no memory for the stack of a thread of a kernel");
  memory_ = static_cast<char*>(memory);
  mprotect(memory_, kGuard, PROT_NONE);
  colour_ = (index * 5 % 64) * 64;
  bottom_ = memory_ + kGuard;
  size_ = kBytes - kGuard;
  restart();
}

Fiber::~Fiber() {
  if (memory_ == nullptr) return;
  if (tsan_ != nullptr) __tsan_destroy_fiber(tsan_);
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(bottom_, size_);
  munmap(memory_, kBytes);
}

void Fiber::restart() {
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(bottom_, size_);
  if (__tsan_create_fiber) {
    if (tsan_ != nullptr) __tsan_destroy_fiber(tsan_);
    tsan_ = __tsan_create_fiber(0);
  }
  saved_ = prepare_stack(memory_ + kGuard, memory_ + kBytes - colour_, this);
}

void Fiber::switch_to(Fiber& to) {
  came_from = this;
  if (__tsan_switch_to_fiber) {
    if (memory_ == nullptr) tsan_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to.tsan_, 0);
  }
  if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(&fake_stack_, to.bottom_, to.size_);
  switch_stacks(&saved_, to.saved_);
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber(fake_stack_, &came_from->bottom_, &came_from->size_);
}

}  // namespace emulation
