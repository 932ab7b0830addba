// The GPUs of this machine, as far as the program knows them. A build without CUDA links no_gpu/, which explains.
#pragma once

#include <memory>
#include <string>

#include "backend/device.h"

namespace shardlora {

struct GpuOptions {
  int ordinal = 0;
  int threads = 1;                               // of what the host computes
  std::size_t device_limit = 0, host_limit = 0;  // bytes; 0: what is there
  bool poison = false;                           // fresh and released memory reads as NaN
};

// Why no GPU can be used, and what to do about it; empty where one can.
std::string gpu_obstacle();
// 0 where the driver shows none.
int gpu_count();
// An Error says what is missing: gpu_obstacle(), memory that other programs hold.
std::unique_ptr<Device> make_gpu_device(const GpuOptions& options);

}  // namespace shardlora
