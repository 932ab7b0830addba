// Memory of the emulated devices. An address that cudaMalloc gives can never be read or written: kernels, copies and
// the work of libraries use the view of it, the same bytes at another address. So host code that touches device memory
// fails at once, and so does a kernel on memory of another device or behind the end of an allocation.
#pragma once

#include <cstddef>

namespace emulation {

// Null where the device has no room. Every allocation takes whole pieces of 2 MiB.
void* allocate_device(int device, std::size_t bytes);
bool free_device(void* data);  // false: not from allocate_device
std::size_t free_bytes(int device);

void* allocate_pinned(std::size_t bytes);
bool free_pinned(void* data);
bool is_pinned(const void* data);

// The device whose address this is; -1: none's.
int owner_of(const void* address);
// The view of a device address; `address` itself where it is none.
void* view_of(const void* address);
// False where part of [address, + bytes) is device memory that no allocation holds.
bool range_is_allocated(const void* address, std::size_t bytes);
// "4 bytes behind the end of an allocation of 400 bytes on device 0"; empty where the address is neither a device's
// nor a view. Allocates nothing: signal handlers call it.
struct Description {
  char text[160] = "";
  bool empty() const { return text[0] == 0; }
};
Description describe(const void* address);

}  // namespace emulation
