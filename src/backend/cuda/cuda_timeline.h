// The timeline of a GPU. Its streams are timed by CUDA events around the work, which are looked at when somebody asks:
// neither host nor GPU waits for them. What they time is the stream, from the end of the work before to the end of the
// work, with what its kernels and copies stood in the queue for. Work of host streams is timed as on the CPU.
#pragma once

#include <cuda_runtime_api.h>

#include <deque>
#include <vector>

#include "backend/cuda/cuda_stream.h"
#include "backend/timeline.h"

namespace shardlora {

class CudaTimeline final : public Timeline {
 public:
  CudaTimeline(int ordinal, CudaStream& compute) : ordinal_(ordinal), compute_(compute) {}
  ~CudaTimeline() override;
  // Two events for every wait are cheap, not free.
  Timing by_itself() const override { return Timing::kOff; }
  // The first time the host waits for the compute stream, to know both clocks at one moment.
  void measure(Timing timing) override;

 private:
  struct Pending {
    Mark mark = 0;
    cudaEvent_t begin = nullptr, end = nullptr;
  };
  void mark_begin(Stream& stream, Mark mark) override;
  void mark_end(Stream& stream, Mark mark) override;
  void settle() override;
  cudaEvent_t record(CudaStream& stream);

  const int ordinal_;
  CudaStream& compute_;
  cudaEvent_t start_ = nullptr;  // was done at start_time_ of the host's clock
  std::int64_t start_time_ = 0;
  std::mutex events_mutex_;  // guards the two below
  std::deque<Pending> pending_;
  std::vector<cudaEvent_t> unused_;
};

}  // namespace shardlora
