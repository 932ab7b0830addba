// What gpu_programs.cpp declares of NVML against nvml.h.
#include <nvml.h>

#include <cstddef>

#include "alike.h"
#include "backend/cuda/gpu_programs.cpp"  // NOLINT: its declarations are its own

namespace shardlora {

static_assert(kSuccess == NVML_SUCCESS);
static_assert(kNotAvailable == static_cast<unsigned long long>(NVML_VALUE_NOT_AVAILABLE));
static_assert(sizeof(Process) == sizeof(nvmlProcessInfo_t));
static_assert(offsetof(Process, pid) == offsetof(nvmlProcessInfo_t, pid));
static_assert(offsetof(Process, bytes) == offsetof(nvmlProcessInfo_t, usedGpuMemory));
static_assert(headers::kCalledAlike<int (*)(), decltype(&nvmlInit_v2)>);
static_assert(headers::kCalledAlike<int (*)(const char*, void**), decltype(&nvmlDeviceGetHandleByPciBusId_v2)>);
using List = int (*)(void*, unsigned*, Process*);
static_assert(headers::kCalledAlike<List, decltype(&nvmlDeviceGetComputeRunningProcesses_v3)>);
static_assert(headers::kCalledAlike<List, decltype(&nvmlDeviceGetGraphicsRunningProcesses_v3)>);

}  // namespace shardlora
