#include "backend/cuda/cuda_memory.h"

#include <cuda_runtime_api.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <cstring>
#include <optional>
#include <string_view>

#include "backend/cuda/cuda_error.h"
#include "backend/cuda/gpu_programs.h"
#include "base/available_memory.h"
#include "base/error.h"

namespace shardlora {

using cuda::check;

namespace {

// Left to CUDA, cuBLASLt and NCCL, which load kernels and take memory when they are first used.
constexpr std::size_t kReserve = std::size_t{256} << 20;

bool is_wsl() {
  utsname system{};
  uname(&system);
  return std::string_view(system.release).find("microsoft") != std::string_view::npos;
}

std::size_t free_bytes() {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for free memory");
  return free;
}

}  // namespace

std::byte* CudaMemory::take(std::size_t bytes) {
  if (available() < bytes) return nullptr;
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(status, "allocating memory");
  if (poison_) {  // done before anybody else can write here: our streams do not wait for the default one
    check(cudaMemset(data, 0xff, bytes), "filling memory");
    check(cudaDeviceSynchronize(), "filling memory");
  }
  return static_cast<std::byte*>(data);
}

std::size_t CudaMemory::available() const {
  const std::size_t free = free_bytes();
  return free > kReserve ? free - kReserve : 0;
}

void CudaMemory::give_back(std::byte* data, std::size_t) noexcept { cudaFree(data); }

std::string CudaMemory::exhausted() const {
  std::size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  constexpr double kGiB = 1 << 30;
  return fmt::format("GPU {} has {:.2f} of {:.1f} GiB free{}, and {:.2f} GiB are kept for CUDA's libraries", ordinal_,
                     static_cast<double>(free) / kGiB, static_cast<double>(total) / kGiB,
                     other_programs_on_gpu(ordinal_), static_cast<double>(kReserve) / kGiB);
}

std::byte* PinnedMemory::take(std::size_t bytes) {
  void* data = nullptr;
  const cudaError_t status = cudaHostAlloc(&data, bytes, cudaHostAllocPortable);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check(status, "pinning host memory");
  if (poison_) std::memset(data, 0xff, bytes);
  return static_cast<std::byte*>(data);
}

void PinnedMemory::give_back(std::byte* data, std::size_t) noexcept { cudaFreeHost(data); }

std::string PinnedMemory::exhausted() const {
  const std::optional<std::uint64_t> available = available_memory();
  rlimit locked{};
  getrlimit(RLIMIT_MEMLOCK, &locked);
  return fmt::format("the driver pins no more host memory ({}ulimit -l is {}{})",
                     available ? fmt::format("{} MiB are available, ", *available >> 20) : "",
                     locked.rlim_cur == RLIM_INFINITY ? "unlimited" : fmt::format("{} KiB", locked.rlim_cur >> 10),
                     is_wsl() ? "; WSL2 pins at most half of the memory that it has" : "");
}

std::string PinnedMemory::advice() const {
  return fmt::format(
      "raise {}, keep less in host memory (offload.base: disk, offload.layer_inputs: none, memory.host_limit), lower "
      "micro_batch_size or sequence_len, or end other programs",
      is_wsl() ? "memory= in .wslconfig" : "ulimit -l");
}

}  // namespace shardlora
