#include "backend/cuda/cuda_error.h"

#include "backend/cuda/gpu_programs.h"
#include "base/error.h"

namespace shardlora::cuda {

namespace {

// What helps against the errors that users meet.
const char* advice(cudaError_t status) {
  switch (status) {
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice: return "; no usable GPU or driver: run nvidia-smi, or set backend: cpu";
    case cudaErrorMemoryAllocation:
      return "; lower micro_batch_size or sequence_len, or end other programs on this GPU (nvidia-smi lists them)";
    case cudaErrorECCUncorrectable:
      return "; the GPU's memory has a fault: reboot, run nvidia-smi -q -d ECC, do not trust this run";
    case cudaErrorNoKernelImageForDevice:
      return "; this build has no kernels for this GPU: build with -DCMAKE_CUDA_ARCHITECTURES=native";
    case cudaErrorUnsupportedPtxVersion:
      return "; this program has kernels for this GPU only as PTX, and that needs a newer driver: update it";
    case cudaErrorDevicesUnavailable:
      return "; another program has this GPU for itself: nvidia-smi shows which, and the GPU's compute mode";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorMisalignedAddress:
    case cudaErrorIllegalInstruction:
      return "; a kernel failed: if it does so again, report it with the output of compute-sanitizer (a GPU that is "
             "overclocked or too hot fails like this too)";
    case cudaErrorLaunchTimeout:
      return "; a kernel was ended by the display's watchdog: use a GPU without a display, or lower micro_batch_size";
    default: return "";
  }
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // an error that is not sticky must not be told again by the next call
  int ordinal = 0;
  const bool full = status == cudaErrorMemoryAllocation && cudaGetDevice(&ordinal) == cudaSuccess;
  fail("CUDA: {}: {} ({}){}{}", what, cudaGetErrorString(status), cudaGetErrorName(status), advice(status),
       full ? other_programs_on_gpu(ordinal) : "");
}

}  // namespace shardlora::cuda
