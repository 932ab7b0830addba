// Switching stacks where no own assembly is written: ucontext, which also saves signal masks and so is slower.
#include <ucontext.h>

#include <cstdint>

#include "emulation/fiber.h"

namespace emulation {

void start_fiber(Fiber* fiber);

namespace {

void first_steps(unsigned high, unsigned low) {
  start_fiber(reinterpret_cast<Fiber*>(static_cast<std::uintptr_t>(high) << 32 | low));
}

}  // namespace

void switch_stacks(void** save, void* to) {
  ucontext_t here;  // lives on the stack that is left
  *save = &here;
  swapcontext(&here, static_cast<ucontext_t*>(to));
}

void* prepare_stack(char* bottom, char* top, Fiber* fiber) {
  auto* context =
      reinterpret_cast<ucontext_t*>((reinterpret_cast<std::uintptr_t>(top) - sizeof(ucontext_t)) & ~std::uintptr_t{63});
  getcontext(context);
  context->uc_stack.ss_sp = bottom;
  context->uc_stack.ss_size = static_cast<std::size_t>(reinterpret_cast<char*>(context) - bottom);
  context->uc_link = nullptr;
  const auto address = reinterpret_cast<std::uintptr_t>(fiber);
  makecontext(context, reinterpret_cast<void (*)()>(&first_steps), 2, static_cast<unsigned>(address >> 32),
              static_cast<unsigned>(address));
  return context;
}

}  // namespace emulation
