// A stream of a GPU. An event's ticket names one of a ring of CUDA events: one that has been recorded again since
// stands for later work of the same stream, so whoever waits for an old ticket may wait longer than needed, never
// shorter. The host sleeps while it waits: a step waits once, for long, and ranks may share the cores that spinning
// would take.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>

#include "backend/stream.h"

namespace shardlora {

class CudaStream final : public Stream {
 public:
  // kHigh: its kernels start before waiting ones of other streams. NCCL's take few multiprocessors and hold up whoever
  // waits for their data.
  enum class Priority : std::uint8_t { kDefault, kHigh };
  explicit CudaStream(int ordinal, Priority priority = Priority::kDefault);
  // Waits for what was submitted.
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  cudaStream_t native() const { return stream_; }

  // One thread submits and records; any thread may synchronize. Each call makes the stream's GPU the calling thread's:
  // one that never chose a GPU would work on GPU 0, and take memory of it for a context.
  Event record() override;
  // A stream that is not a GPU's cannot be waited for by the GPU: then the host waits, here and now.
  void wait(Event event) override;
  void submit(std::function<void()> work) override;
  void throw_failure() override;
  void synchronize() override;
  void synchronize(Event event) override;
  // Done, without waiting; throws what failed.
  bool done(Event event) const;

  // What host work has thrown. Outlives the stream where work is still to come.
  struct HostFailure {
    std::mutex mutex;
    std::exception_ptr error;
  };

 private:
  static constexpr std::size_t kEvents = 64;
  void choose() const;
  cudaEvent_t event_of(std::uint64_t ticket) const { return events_[ticket % kEvents]; }

  const int ordinal_;
  cudaStream_t stream_ = nullptr;
  std::array<cudaEvent_t, kEvents> events_{};
  cudaEvent_t drained_ = nullptr;  // of synchronize(), which any thread may call: a later record only waits longer
  std::uint64_t recorded_ = 0;
  const std::shared_ptr<HostFailure> failure_ = std::make_shared<HostFailure>();
};

}  // namespace shardlora
