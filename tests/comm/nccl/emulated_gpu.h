// The memory and the streams of an emulated GPU, without kernels: what a communicator needs of a device.
#pragma once

#include <memory>
#include <string>

#include "backend/arena.h"
#include "backend/cuda/cuda_error.h"
#include "backend/cuda/cuda_memory.h"
#include "backend/cuda/cuda_stream.h"
#include "backend/device.h"
#include "base/error.h"

namespace shardlora {

class EmulatedGpu final : public Device {
 public:
  explicit EmulatedGpu(int ordinal) : ordinal_(ordinal), compute_(ordinal) {}

  Buffer allocate(std::size_t bytes, Tier tier, Purpose purpose) override {
    cuda::check(cudaSetDevice(ordinal_), "choosing a GPU");
    return (tier == Tier::kDevice ? device_ : pinned_).allocate(bytes, purpose);
  }
  MemoryUse memory(Tier tier) const override { return (tier == Tier::kDevice ? device_ : pinned_).use(); }
  void reset_peaks() override {
    device_.reset_peaks();
    pinned_.reset_peaks();
  }
  void count_only(bool on) override {
    device_.count_only(on);
    pinned_.count_only(on);
  }
  std::unique_ptr<Stream> make_stream(const std::string&) override { return std::make_unique<CudaStream>(ordinal_); }
  Stream& compute() override { return compute_; }
  Ops& ops() override { check_failed(__FILE__, __LINE__, "ops", "this device has no kernels"); }
  Timeline& timeline() override { return timeline_; }
  void copy(std::byte* to, const std::byte* from, std::size_t bytes, Stream& stream) override {
    if (bytes == 0) return;
    cuda::check(cudaSetDevice(ordinal_), "choosing a GPU");
    cuda::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, dynamic_cast<CudaStream&>(stream).native()),
                "copying");
  }
  void poison(std::byte*, std::size_t, Stream&) override {}
  Support support(DType) const override { return {}; }
  bool host_reads() const override { return false; }
  int threads() const override { return 1; }
  std::string description() const override { return "an emulated GPU"; }
  std::string numerics() const override { return description(); }

 private:
  const int ordinal_;
  Arena device_{Tier::kDevice, 0, std::make_unique<CudaMemory>(ordinal_, true)};
  Arena pinned_{Tier::kPinned, 0, std::make_unique<PinnedMemory>(true)};
  CudaStream compute_;
  Timeline timeline_;
};

}  // namespace shardlora
