// The CPU as a device: both tiers are host memory under a limit each, streams are threads, kernels run on OpenMP.
#pragma once

#include <memory>

#include "backend/arena.h"
#include "backend/cpu/cpu_stream.h"
#include "backend/device.h"

namespace shardlora {

struct CpuDeviceOptions {
  int threads = 0;                               // of the kernels; 0: all that this process may use
  std::size_t device_limit = 0, host_limit = 0;  // bytes; 0: none
  StreamMode mode = StreamMode::kInline;  // of the compute stream; the other streams are queued, or delayed as it is
  std::uint64_t seed = 0;                 // of the pauses of kDelayed
  bool poison = false;                    // fresh and released memory reads as NaN
};

class CpuOps;

class CpuDevice final : public Device {
 public:
  // Kernels run on the threads of this object's OpenMP team: make it on the thread that will submit work to it.
  explicit CpuDevice(const CpuDeviceOptions& options);
  ~CpuDevice() override;

  Buffer allocate(std::size_t bytes, Tier tier, Purpose purpose) override;
  MemoryUse memory(Tier tier) const override;
  void reset_peaks() override;
  void count_only(bool on) override;
  // A CpuStream with a thread of its own.
  std::unique_ptr<Stream> make_stream(const std::string& name) override;
  CpuStream& compute() override { return compute_; }
  Ops& ops() override;
  Timeline& timeline() override { return timeline_; }
  void copy(std::byte* to, const std::byte* from, std::size_t bytes, Stream& stream) override;
  void poison(std::byte* data, std::size_t bytes, Stream& stream) override;
  Support support(DType dtype) const override;
  std::string description() const override;
  int threads() const override { return threads_; }
  std::string numerics() const override;

 private:
  const CpuDeviceOptions options_;
  const int threads_;
  Arena device_memory_, host_memory_;
  Timeline timeline_;  // its marks are work of the stream below
  CpuStream compute_;
  std::unique_ptr<CpuOps> ops_;
};

std::unique_ptr<Device> make_cpu_device(const CpuDeviceOptions& options = {});

}  // namespace shardlora
