#include "backend/gpu.h"

#include <cuda_runtime_api.h>

#include "backend/cuda/cublaslt_table.h"
#include "backend/cuda/cuda_device.h"
#include "base/error.h"

namespace shardlora {

namespace {

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

}  // namespace

std::string gpu_obstacle() {
  int driver = 0, runtime = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return "there is no NVIDIA driver here (libcuda.so.1): install one for your GPU, or in a container start it with "
           "--gpus all";
  cudaRuntimeGetVersion(&runtime);  // linked into the program: cannot fail
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (status == cudaErrorInsufficientDriver)
    return fmt::format(
        "the NVIDIA driver is for CUDA {}, this program needs one for CUDA {} or later: update the driver",
        version_text(driver), version_text(runtime / 1000 * 1000));
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
    return "the NVIDIA driver shows no GPU: run nvidia-smi, and look whether CUDA_VISIBLE_DEVICES hides them";
  if (status != cudaSuccess) return fmt::format("CUDA does not start: {}: run nvidia-smi", cudaGetErrorString(status));
  try {
    cublaslt::table();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

int gpu_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

std::unique_ptr<Device> make_gpu_device(const GpuOptions& options) {
  if (const std::string obstacle = gpu_obstacle(); !obstacle.empty()) fail("backend: cuda: {}", obstacle);
  return std::make_unique<CudaDevice>(options);
}

}  // namespace shardlora
