// A GPU as a device. Its compute stream and the streams it makes run beside each other, ordered by events; the host
// waits only where it is told to. Memory is counted under a ceiling as on the CPU; nothing is allocated in a step.
#pragma once

#include "backend/arena.h"
#include "backend/cuda/cuda_ops.h"
#include "backend/cuda/cuda_stream.h"
#include "backend/cuda/cuda_timeline.h"
#include "backend/device.h"
#include "backend/gpu.h"

namespace shardlora {

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(const GpuOptions& options);

  Buffer allocate(std::size_t bytes, Tier tier, Purpose purpose) override;
  MemoryUse memory(Tier tier) const override;
  void reset_peaks() override;
  void count_only(bool on) override;
  // A CudaStream.
  std::unique_ptr<Stream> make_stream(const std::string& name) override;
  CudaStream& compute() override { return compute_; }
  Ops& ops() override { return ops_; }
  Timeline& timeline() override { return timeline_; }
  // Either side may be device, pinned or pageable host memory; pageable memory is read before the call returns.
  void copy(std::byte* to, const std::byte* from, std::size_t bytes, Stream& stream) override;
  void poison(std::byte* data, std::size_t bytes, Stream& stream) override;
  Support support(DType dtype) const override;
  bool host_reads() const override { return false; }
  int threads() const override { return threads_; }
  std::string description() const override;
  std::string numerics() const override;

  int ordinal() const { return ordinal_; }

 private:
  const int ordinal_, threads_;
  Arena device_memory_, host_memory_;
  CudaStream compute_;
  CudaTimeline timeline_;
  CudaOps ops_;  // last: takes memory and a stream
};

}  // namespace shardlora
