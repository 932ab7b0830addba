// NCCL's stand-in: a GPU runs one collective at a time, whichever communicator it belongs to. The real one may run two
// beside each other where both find room, which nobody can rely on: two GPUs that begin with different ones wait for
// each other for ever.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <chrono>

namespace fake_nccl {

// Whether collectives of several communicators start in the order in which the host issued them: from 2.26 on, where
// NCCL_LAUNCH_ORDER_IMPLICIT=1 asks for it. Otherwise whichever is ready first starts, and a GPU with an odd number
// likes the one that was issued last.
bool keeps_host_order();
int version();

// A collective's turn on the GPU of its stream. Made when it is issued, ends with its destructor.
class Turn {
 public:
  explicit Turn(cudaStream_t stream);
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  // Until the collective may run; at once where it was given up.
  void wait(const std::atomic<bool>& given_up);

 private:
  struct Gpu;
  static Gpu& gpu(int number);
  bool is_next() const;  // of those that wait; the GPU's mutex is held

  const cudaStream_t stream_;
  const int number_;
  Gpu& gpu_;
  bool ready_ = false;
  std::chrono::steady_clock::time_point since_;
};

}  // namespace fake_nccl
