// What emulated device code calls: the thread that runs, the barriers of its block and warp, its shared memory. A
// kernel's threads are fibers of one host thread, so `static thread_local` is shared memory.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <source_location>
#include <type_traits>

// Fast to reach, since kernels read them all the time: the library is always there when a program starts.
extern __thread uint3 threadIdx __attribute__((tls_model("initial-exec")));
extern __thread uint3 blockIdx __attribute__((tls_model("initial-exec")));
extern __thread dim3 blockDim __attribute__((tls_model("initial-exec")));
extern __thread dim3 gridDim __attribute__((tls_model("initial-exec")));

namespace emulation {

// All threads of the block meet here. Waiting at different places, or for a thread that has ended, is an error.
void block_barrier(const std::source_location& where);

// The lanes of `mask` meet here; the last one runs complete(payloads of the 32 lanes, mask), then all go on.
using Payloads = void* const*;
void meet_in_warp(const char* what, unsigned mask, const std::source_location& where, void* payload,
                  void (*complete)(Payloads lanes, unsigned mask));

unsigned lane();
// 16-byte aligned, as large as the launch asked for; a page that cannot be touched lies right behind.
void* dynamic_shared_memory();
bool is_shared(const void* address, std::size_t bytes);  // the block's dynamic or static shared memory

// Ends the kernel; its device reports `error` from now on, the text says which kernel, block and thread it was.
[[noreturn]] void fail_thread(cudaError_t error, const char* text, const std::source_location* where = nullptr);

// Device addresses are never accessible as such; a kernel sees memory through views. Every word of a parameter that is
// an address of `device` becomes one. False for a pointer to what no kernel may touch: ordinary memory of the host.
bool see_through_views(void* parameter, std::size_t bytes, bool pointer, int device);

// `prepare` gives what a thread runs, with parameters as `device` sees them; nothing where they are not usable.
cudaError_t launch_kernel(const cudaLaunchConfig_t& config, const void* kernel, std::size_t parameter_bytes,
                          std::function<std::function<void()>(int device)> prepare);

}  // namespace emulation
