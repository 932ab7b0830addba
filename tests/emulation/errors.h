// Errors of the emulated runtime: a device's own, which stays; the last one of a host thread; those that tests inject.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace emulation {

// What a kernel did wrong: from now on every call on this device gives `code`. Prints the text.
void fail_device(int device, cudaError_t code, const std::string& text);
cudaError_t device_error(int device);
std::string device_failure(int device);  // its text; empty where nothing failed
void clear_device_errors();

// Opens every function of the runtime: the error that it has to return at once, for a test or for a failed device.
cudaError_t enter(const char* function);
// The same for a function that works on the thread's current device.
cudaError_t enter_on_device(const char* function);
// Closes it: remembers the error for cudaGetLastError, and what was wrong.
cudaError_t leave(cudaError_t error, const std::string& why = {});
cudaError_t take_last_error();
cudaError_t last_error();
std::string reason_of(cudaError_t error);  // what leave() or the device said about it

// A host thread's own; 0 until it chooses one.
int current_device();
void set_current_device(int device);

}  // namespace emulation
