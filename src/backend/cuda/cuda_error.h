// What a call of the CUDA runtime says, as an Error that tells what to do.
#pragma once

#include <cuda_runtime_api.h>

namespace shardlora::cuda {

// Throws an Error where `status` is one; `what` was being done ("copying").
void check(cudaError_t status, const char* what);

}  // namespace shardlora::cuda
