#include "emulation/fault.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>

#include "emulation/block.h"
#include "emulation/memory.h"

namespace emulation {

namespace {

constexpr std::array kSignals{SIGSEGV, SIGBUS, SIGILL, SIGFPE};
constexpr std::size_t kStack = 256 << 10;
struct sigaction before[4];

struct Fault {
  int signal;
  const void* address;
};
thread_local Fault fault;
thread_local char* emergency = nullptr;  // a stack for kernels that overran their own

std::string text_of(const Fault& f) {
  if (f.signal == SIGFPE) return "an integer division by zero";
  if (f.signal == SIGILL) return "an illegal instruction: a trap of the compiler";
  if (just_outside_shared(f.address)) return "an access outside dynamic shared memory";
  if (f.address == nullptr) return "an access to a null pointer, or a vector access that is not aligned";
  if (owner_of(f.address) >= 0)
    return fmt::format("an access to memory of another device, or through an address that was read from memory: {}",
                       describe(f.address).text);
  if (const Description where = describe(f.address); !where.empty())
    return fmt::format("an access outside of every allocation: {}", where.text);
  return fmt::format("an access to address {}", f.address);
}

// Where a kernel's thread goes on after the signal, on its own stack or on the emergency one.
[[noreturn]] void land() {
  Block& block = *Block::running();
  const auto code =
      fault.signal == SIGSEGV || fault.signal == SIGBUS ? cudaErrorIllegalAddress : cudaErrorLaunchFailure;
  block.note(code, block.stack_overran(fault.address) ? "the stack of a thread is full" : text_of(fault));
  block.leave();
}

void on_signal(int signal, siginfo_t* info, void* context) {
  if (Block::running() != nullptr) {
    fault = {signal, info->si_addr};
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    auto stack = static_cast<std::uintptr_t>(registers[REG_RSP]) - 1024;
    if (Block::running()->stack_overran(info->si_addr)) stack = reinterpret_cast<std::uintptr_t>(emergency + kStack);
    registers[REG_RSP] = static_cast<greg_t>((stack & ~std::uintptr_t{15}) - 8);
    registers[REG_RIP] = reinterpret_cast<greg_t>(&land);
    return;
  }
  if (const Description where = describe(info->si_addr); signal == SIGSEGV && !where.empty())
    for (const char* part : {"emulation: host code touches device memory: ", where.text, "\n"})
      (void)!write(STDERR_FILENO, part, std::strlen(part));
  for (std::size_t i = 0; i < kSignals.size(); ++i)
    if (kSignals[i] == signal) sigaction(signal, &before[i], nullptr);  // the instruction runs again and fails again
}

}  // namespace

void catch_faults() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action{};
    action.sa_sigaction = &on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &before[i]);
  });
  if (emergency != nullptr) return;
  void* stacks = mmap(nullptr, 2 * kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  emergency = static_cast<char*>(stacks);
  const stack_t own{emergency + kStack, 0, kStack};
  sigaltstack(&own, nullptr);
}

}  // namespace emulation
