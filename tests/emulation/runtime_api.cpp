// The CUDA runtime's functions: memory and streams. Each opens with enter_on_device(), which answers for tests and
// failed devices, and ends with leave(), which remembers.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "emulation/errors.h"
#include "emulation/fault.h"
#include "emulation/memory.h"
#include "emulation/runtime.h"
#include "emulation/settings.h"
#include "emulation/stream.h"

using namespace emulation;

#define ENTER(name) \
  if (const auto error = enter_on_device(name); error != cudaSuccess) return error

namespace {

constexpr int kHighestPriority = -5;  // as on today's cards

// Waits until everything so far on the stream is done, then tells how the device is.
cudaError_t drained(Stream& stream) {
  stream.record()->wait();
  return leave(device_error(stream.device()), device_failure(stream.device()));
}

// The stream of what names none. Always late, so that who does not wait for it shows.
cudaStream_t default_stream(int device) {
  static std::mutex mutex;
  static auto* made = new std::map<int, Stream*>;
  const std::lock_guard lock(mutex);
  Stream*& stream = (*made)[device];
  if (stream == nullptr) {
    stream = Stream::make(device);
    stream->dawdle(500);
  }
  return static_cast<cudaStream_t>(stream);
}

// Counted: without cudaEventBlockingSync the host takes a core until what it waits for is done.
void spin() { injected_error("a wait that spins"); }

bool on_device(const void* address) { return owner_of(address) >= 0; }

}  // namespace

extern "C" {

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  ENTER("cudaMemGetInfo");
  *free = free_bytes(current_device());
  *total = settings().memory;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  ENTER("cudaMalloc");
  if (settings().devices == 0) return leave(cudaErrorNoDevice);
  catch_faults();
  *data = nullptr;
  if (bytes == 0) return cudaSuccess;
  *data = allocate_device(current_device(), bytes);
  return leave(*data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

// Waits for the device, as the real one does.
cudaError_t cudaFree(void* data) {
  ENTER("cudaFree");
  if (data == nullptr) return cudaSuccess;
  const int device = owner_of(data);
  if (device < 0) return leave(cudaErrorInvalidValue, "cudaFree: not device memory");
  Stream::wait_for_device(device);
  return leave(free_device(data) ? cudaSuccess : cudaErrorInvalidValue, "cudaFree: no such allocation");
}

cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned) {
  ENTER("cudaHostAlloc");
  *data = allocate_pinned(bytes);
  return leave(*data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaFreeHost(void* data) {
  ENTER("cudaFreeHost");
  if (data == nullptr) return cudaSuccess;
  if (!is_pinned(data)) return leave(cudaErrorInvalidValue, "cudaFreeHost: not pinned memory");
  Stream::wait_for_device(current_device());  // ranks that are threads have a device each and use their own memory
  return leave(free_pinned(data) ? cudaSuccess : cudaErrorInvalidValue, "cudaFreeHost: no such allocation");
}

// Ordinary host memory is read before the call returns and written before it returns; pinned memory is not.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  ENTER("cudaMemcpyAsync");
  if (!Stream::known(stream)) return leave(cudaErrorInvalidResourceHandle, "cudaMemcpyAsync: no such stream");
  if (bytes == 0) return cudaSuccess;
  if (to == nullptr || from == nullptr) return leave(cudaErrorInvalidValue, "cudaMemcpyAsync: a null pointer");
  const cudaMemcpyKind found = static_cast<cudaMemcpyKind>((on_device(from) ? 2 : 0) + (on_device(to) ? 1 : 0));
  if (kind != cudaMemcpyDefault && kind != found)
    return leave(cudaErrorInvalidValue, "cudaMemcpyAsync: the kind of copy is not that of the addresses");
  if (!range_is_allocated(to, bytes) || !range_is_allocated(from, bytes))
    return leave(cudaErrorInvalidValue, std::string("cudaMemcpyAsync: a range that no allocation holds: ") +
                                            describe(range_is_allocated(to, bytes) ? from : to).text);
  const bool read_now = !on_device(from) && !is_pinned(from), written_now = !on_device(to) && !is_pinned(to);
  if (read_now && !written_now) {
    const auto* first = static_cast<const char*>(from);
    stream->launch([to, staged = std::vector<char>(first, first + bytes)] {
      std::memcpy(view_of(to), staged.data(), staged.size());
    });
    return cudaSuccess;
  }
  stream->launch([=] { std::memmove(view_of(to), view_of(from), bytes); });
  return written_now ? drained(*stream) : cudaSuccess;
}

// Runs on the default stream, later: streams made with cudaStreamNonBlocking do not wait for it, nor does the host.
cudaError_t cudaMemset(void* data, int value, std::size_t bytes) {
  ENTER("cudaMemset");
  return cudaMemsetAsync(data, value, bytes, default_stream(current_device()));
}

cudaError_t cudaMemsetAsync(void* data, int value, std::size_t bytes, cudaStream_t stream) {
  ENTER("cudaMemsetAsync");
  if (!Stream::known(stream)) return leave(cudaErrorInvalidResourceHandle, "cudaMemsetAsync: no such stream");
  if (bytes == 0) return cudaSuccess;
  if (!(on_device(data) || is_pinned(data)) || !range_is_allocated(data, bytes))
    return leave(cudaErrorInvalidValue,
                 "cudaMemsetAsync: not memory of the device: " + std::string(describe(data).text));
  stream->launch([=] { std::memset(view_of(data), value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest) {
  ENTER("cudaDeviceGetStreamPriorityRange");
  *lowest = 0;
  *highest = kHighestPriority;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  ENTER("cudaStreamCreateWithPriority");
  if (settings().devices == 0) return leave(cudaErrorNoDevice);
  if (flags != cudaStreamNonBlocking)
    return leave(cudaErrorNotSupported, "the emulation has streams with cudaStreamNonBlocking only");
  catch_faults();
  *stream = static_cast<cudaStream_t>(Stream::make(current_device(), std::clamp(priority, kHighestPriority, 0)));
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  ENTER("cudaStreamGetPriority");
  if (!Stream::known(stream)) return leave(cudaErrorInvalidResourceHandle, "cudaStreamGetPriority: no such stream");
  *priority = stream->priority();
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  ENTER("cudaStreamDestroy");
  if (!Stream::known(stream)) return leave(cudaErrorInvalidResourceHandle, "cudaStreamDestroy: no such stream");
  Stream::destroy(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ENTER("cudaStreamSynchronize");
  if (!Stream::known(stream)) return leave(cudaErrorInvalidResourceHandle, "cudaStreamSynchronize: no such stream");
  spin();
  return drained(*stream);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  ENTER("cudaStreamQuery");
  if (!Stream::known(stream)) return leave(cudaErrorInvalidResourceHandle, "cudaStreamQuery: no such stream");
  return stream->idle() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  ENTER("cudaStreamWaitEvent");
  if (!Stream::known(stream) || event == nullptr)
    return leave(cudaErrorInvalidResourceHandle, "cudaStreamWaitEvent: no such stream or event");
  const std::lock_guard lock(event->mutex);
  if (event->last) stream->submit([last = event->last] { last->wait(); }, true);
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* user_data) {
  ENTER("cudaLaunchHostFunc");
  if (!Stream::known(stream)) return leave(cudaErrorInvalidResourceHandle, "cudaLaunchHostFunc: no such stream");
  stream->submit([=] { function(user_data); });
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  ENTER("cudaDeviceSynchronize");
  spin();
  Stream::wait_for_device(current_device());
  return leave(device_error(current_device()), device_failure(current_device()));
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  ENTER("cudaEventCreateWithFlags");
  *event = new CUevent_st;
  (*event)->device = current_device();
  (*event)->flags = flags;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  ENTER("cudaEventDestroy");
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  ENTER("cudaEventRecord");
  if (!Stream::known(stream) || event == nullptr || event->device != stream->device())
    return leave(cudaErrorInvalidResourceHandle,
                 "cudaEventRecord: the event belongs to another device than the stream");
  const std::lock_guard lock(event->mutex);
  event->last = stream->record();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ENTER("cudaEventSynchronize");
  if ((event->flags & cudaEventBlockingSync) == 0) spin();
  std::shared_ptr<Completion> last;
  {
    const std::lock_guard lock(event->mutex);
    last = event->last;
  }
  if (last) last->wait();
  return leave(device_error(event->device), device_failure(event->device));
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  ENTER("cudaEventQuery");
  const std::lock_guard lock(event->mutex);
  return event->last && !event->last->done() ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  ENTER("cudaEventElapsedTime");
  const std::scoped_lock lock(start->mutex, end->mutex);
  if (!start->last || !end->last) return leave(cudaErrorInvalidResourceHandle, "cudaEventElapsedTime: never recorded");
  if (!start->last->done() || !end->last->done()) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(end->last->when() - start->last->when()).count();
  return cudaSuccess;
}

}  // extern "C"

namespace emulation {

void enqueue(cudaStream_t stream, std::function<void()> work) { stream->submit(std::move(work)); }
void launch(cudaStream_t stream, std::function<void()> kernel) { stream->launch(std::move(kernel)); }
void* view(const void* address) { return view_of(address); }
int device_of_memory(const void* address) { return owner_of(address); }
void* allocate_memory(int device, std::size_t bytes) { return allocate_device(device, bytes); }
void free_memory(void* memory) { free_device(memory); }
int device_of(cudaStream_t stream) { return Stream::known(stream) ? stream->device() : -1; }
std::string failure(int device) { return device_failure(device); }
void dawdle(cudaStream_t stream, unsigned microseconds) { stream->dawdle(microseconds); }

void reset() {
  for (int device = 0; device < settings().devices; ++device) Stream::wait_for_device(device);
  clear_device_errors();
}

}  // namespace emulation
