// Switching stacks on x86-64: the registers that a called function has to keep, then the stack pointer.
#include <cstdint>

#include "emulation/fiber.h"

asm(R"(
.text
.type emulation_switch_stacks, @function
emulation_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch_stacks, .-emulation_switch_stacks
.type emulation_first_steps, @function
emulation_first_steps:
  movq %r12, %rdi
  call *%r13
  ud2
.size emulation_first_steps, .-emulation_first_steps
)");

extern "C" {
void emulation_switch_stacks(void** save, void* to) __attribute__((visibility("hidden")));
void emulation_first_steps() __attribute__((visibility("hidden")));
}

namespace emulation {

void start_fiber(Fiber* fiber);

void switch_stacks(void** save, void* to) { emulation_switch_stacks(save, to); }

void* prepare_stack(char*, char* top, Fiber* fiber) {
  auto* at = reinterpret_cast<std::uintptr_t*>(reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{63});
  *--at = 0;  // where a caller would have left its address: ends a backtrace
  *--at = 0;
  *--at = reinterpret_cast<std::uintptr_t>(&emulation_first_steps);
  *--at = 0;                                               // rbp
  *--at = 0;                                               // rbx
  *--at = reinterpret_cast<std::uintptr_t>(fiber);         // r12
  *--at = reinterpret_cast<std::uintptr_t>(&start_fiber);  // r13
  *--at = 0;                                               // r14
  *--at = 0;                                               // r15
  return at;
}

}  // namespace emulation
