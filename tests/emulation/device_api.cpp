// The CUDA runtime's functions: what the machine has, and what errors mean.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "emulation/errors.h"
#include "emulation/settings.h"

using namespace emulation;

namespace {

constexpr int kRuntimeVersion = CUDART_VERSION, kMultiprocessors = 16, kSharedForAll = 48 << 10;

struct Name {
  cudaError_t code;
  const char *name, *text;
};
constexpr Name kNames[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidDevicePointer, "cudaErrorInvalidDevicePointer", "invalid device pointer"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable", "CUDA-capable device(s) is/are busy or unavailable"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorUnsupportedPtxVersion, "cudaErrorUnsupportedPtxVersion",
     "the provided PTX was compiled with an unsupported toolchain."},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    {cudaErrorAssert, "cudaErrorAssert", "device-side assert triggered"},
    {cudaErrorHardwareStackError, "cudaErrorHardwareStackError", "hardware stack error"},
    {cudaErrorIllegalInstruction, "cudaErrorIllegalInstruction", "an illegal instruction was encountered"},
    {cudaErrorInvalidAddressSpace, "cudaErrorInvalidAddressSpace",
     "operation not supported on global/shared address space"},
    {cudaErrorInvalidPc, "cudaErrorInvalidPc", "invalid program counter"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

cudaError_t machine_error() {
  if (settings().driver < kRuntimeVersion / 1000 * 1000) return cudaErrorInsufficientDriver;
  return settings().devices == 0 ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t check_device(const char* function, int device) {
  if (const auto error = enter(function); error != cudaSuccess) return error;
  if (const auto error = machine_error(); error != cudaSuccess) return leave(error);
  return leave(device < 0 || device >= settings().devices ? cudaErrorInvalidDevice : cudaSuccess);
}

int shared_at_most() { return settings().major == 7 ? 64 << 10 : 99 << 10; }

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (const auto error = enter("cudaGetDeviceCount"); error != cudaSuccess) return error;
  if (const auto error = machine_error(); error != cudaSuccess) return leave(error);
  *count = settings().devices;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (const auto error = check_device("cudaSetDevice", device); error != cudaSuccess) return error;
  set_current_device(device);
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  if (const auto error = check_device("cudaGetDevice", 0); error != cudaSuccess) return error;
  *device = current_device();
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (const auto error = check_device("cudaGetDeviceProperties", device); error != cudaSuccess) return error;
  *properties = {};
  std::strcpy(properties->name, "Emulated GPU");
  properties->uuid.bytes[15] = static_cast<char>(device);
  properties->totalGlobalMem = settings().memory;
  properties->sharedMemPerBlock = kSharedForAll;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->major = settings().major;
  properties->minor = settings().minor;
  properties->multiProcessorCount = kMultiprocessors;
  properties->l2CacheSize = 4 << 20;
  properties->pciBusID = device + 1;
  properties->sharedMemPerBlockOptin = static_cast<std::size_t>(shared_at_most());
  properties->sharedMemPerMultiprocessor = static_cast<std::size_t>(shared_at_most() + 1024);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (const auto error = check_device("cudaDeviceGetAttribute", device); error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = kSharedForAll; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrClockRate: *value = 1000000; break;
    case cudaDevAttrMultiProcessorCount: *value = kMultiprocessors; break;
    case cudaDevAttrConcurrentKernels: *value = 1; break;
    case cudaDevAttrPciBusId: *value = device + 1; break;
    case cudaDevAttrPciDeviceId: *value = 0; break;
    case cudaDevAttrMemoryClockRate: *value = 1000000; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = 256; break;
    case cudaDevAttrL2CacheSize: *value = 4 << 20; break;
    case cudaDevAttrAsyncEngineCount: *value = 2; break;
    case cudaDevAttrComputeCapabilityMajor: *value = settings().major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = settings().minor; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = shared_at_most() + 1024; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = shared_at_most(); break;
    default: return leave(cudaErrorInvalidValue, "an attribute that the emulation does not know");
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int bytes, int device) {
  if (const auto error = check_device("cudaDeviceGetPCIBusId", device); error != cudaSuccess) return error;
  const std::string text = fmt::format("0000:{:02x}:00.0", device + 1);
  if (bytes <= static_cast<int>(text.size())) return leave(cudaErrorInvalidValue);
  std::strcpy(id, text.c_str());
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  if (const auto error = enter("cudaDriverGetVersion"); error != cudaSuccess) return error;
  *version = settings().driver;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kRuntimeVersion;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return take_last_error(); }
cudaError_t cudaPeekAtLastError() { return last_error(); }

const char* cudaGetErrorName(cudaError_t error) {
  const auto* found = std::ranges::find(kNames, error, &Name::code);
  return found == std::end(kNames) ? "an error that the emulation does not know" : found->name;
}

// The real text, and what the emulation knows beyond it.
const char* cudaGetErrorString(cudaError_t error) {
  thread_local std::string text;
  const auto* found = std::ranges::find(kNames, error, &Name::code);
  text = found == std::end(kNames) ? fmt::format("error {}", static_cast<int>(error)) : found->text;
  if (const std::string reason = reason_of(error); !reason.empty()) text += ": " + reason;
  return text.c_str();
}

}  // extern "C"
