// The emulated CUDA runtime, for tests and for the stand-ins of libraries (NCCL, cuBLASLt).
//
// Everything lives in one shared library, libemulated_cudart.so (CMake target emulated_cudart): test programs and every
// stand-in that is loaded with dlopen link it, so there is one set of streams, devices and errors in a process.
// A stand-in puts its work on a stream with enqueue(); inside the work it reads and writes device memory through
// view(), since device addresses themselves are never accessible:
//
//   emulation::enqueue(stream, [to = emulation::view(to), from = emulation::view(from), bytes] {
//     std::memcpy(to, from, bytes);
//   });
//
// Work runs on the stream's own thread and may block there (a collective waits for its peers).
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <string>

namespace emulation {

// Runs `work` in the stream's order, later. Skipped where the device has failed before.
void enqueue(cudaStream_t stream, std::function<void()> work);
// The same for a kernel: the call waits while the stream's launch queue is full. (NCCL launches on threads of its own
// where a communicator does not block, so a caller does not wait there.)
void launch(cudaStream_t stream, std::function<void()> kernel);
// The accessible bytes of a device address; other addresses come back as they are.
void* view(const void* address);
template <typename T>
T* view(T* address) {
  return static_cast<T*>(view(static_cast<const void*>(address)));
}
// The device whose memory this is, -1 for host memory; the device that a stream belongs to.
int device_of_memory(const void* address);
int device_of(cudaStream_t stream);

// Memory of a device that a library takes for itself; null where there is no room. Freeing waits for nothing.
void* allocate_memory(int device, std::size_t bytes);
void free_memory(void* memory);

// The error that a test wants from this call of `function`, 0 for none: stand-ins open their entry points with it.
// Codes are the caller's own (cudaError_t, ncclResult_t, cublasStatus_t).
int injected_error(const char* function);
// What a stand-in calls where the real function works on the calling thread's device.
void uses_device(const char* function);

// --- for tests

// The nth call of `function` from now on (1: the next) returns `code`; 0 forgets all. EMULATED_CUDA_FAIL says the same
// in the environment: "cudaMalloc:3:2,ncclAllGather:1:5".
void fail_call(const char* function, int nth, int code);
void fail_no_call();
int calls_of(const char* function);  // since the last fail_no_call; also of "a wait that spins"
// Functions that work on the current device and were called, since the last fail_no_call, by threads that never chose
// one, so that they worked on device 0: "cudaEventRecord, cudaMalloc".
std::string calls_without_device();

// What went wrong in a kernel, with its name, block and thread; empty where nothing did.
std::string failure(int device = 0);
// A new start after a failure; real devices have none within a process.
void reset();
// The stream waits so long before every piece of work, so that what does not wait for it is too early.
void dawdle(cudaStream_t stream, unsigned microseconds);
// The order of threads and blocks, and the pauses of streams, from now on.
void set_seed(unsigned long long seed);

}  // namespace emulation
