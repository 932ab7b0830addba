#include "backend/cuda/gpu_programs.h"

#include <cuda_runtime_api.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <span>

#include "backend/cuda/shared_library.h"
#include "base/error.h"

namespace shardlora {

namespace {

// nvmlProcessInfo_t of nvmlDeviceGetComputeRunningProcesses_v3 and nvmlDeviceGetGraphicsRunningProcesses_v3.
struct Process {
  unsigned pid;
  unsigned long long bytes;
  unsigned gpu_instance, compute_instance;
};

constexpr int kSuccess = 0;
constexpr unsigned long long kNotAvailable = ~0ULL;

}  // namespace

std::string other_programs_on_gpu(int ordinal) {
  const SharedLibrary nvml("libnvidia-ml.so.1");
  if (!nvml) return "";
  int (*initialize)() = nullptr;
  int (*by_bus)(const char*, void**) = nullptr;
  int (*computing)(void*, unsigned*, Process*) = nullptr;
  int (*drawing)(void*, unsigned*, Process*) = nullptr;
  try {
    nvml.find(initialize, "nvmlInit_v2");
    nvml.find(by_bus, "nvmlDeviceGetHandleByPciBusId_v2");
    nvml.find(computing, "nvmlDeviceGetComputeRunningProcesses_v3");
    nvml.find(drawing, "nvmlDeviceGetGraphicsRunningProcesses_v3");
  } catch (const Error&) {
    return "";  // an old driver: the message goes without
  }
  std::array<char, 32> bus{};
  void* device = nullptr;
  if (initialize() != kSuccess || cudaDeviceGetPCIBusId(bus.data(), bus.size(), ordinal) != cudaSuccess ||
      by_bus(bus.data(), &device) != kSuccess)
    return "";
  std::map<unsigned, unsigned long long> bytes_of;  // a program may do both
  for (const auto list : {computing, drawing}) {
    std::array<Process, 64> found{};
    unsigned count = found.size();
    if (list(device, &count, found.data()) != kSuccess) continue;
    for (const Process& p : std::span(found).first(std::min<std::size_t>(count, found.size())))
      if (p.pid != static_cast<unsigned>(getpid()) && p.bytes != kNotAvailable) bytes_of[p.pid] = p.bytes;
  }
  std::string text;
  for (const auto& [pid, bytes] : bytes_of)
    text +=
        fmt::format("{}process {}: {:.1f} GiB", text.empty() ? "" : ", ", pid, static_cast<double>(bytes) / (1 << 30));
  return text.empty() ? "" : fmt::format(" ({})", text);
}

}  // namespace shardlora
