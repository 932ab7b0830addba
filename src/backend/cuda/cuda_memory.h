// Memory of a GPU, and host memory that it copies from and to without staging.
#pragma once

#include "backend/memory_source.h"

namespace shardlora {

class CudaMemory final : public MemorySource {
 public:
  CudaMemory(int ordinal, bool poison) : ordinal_(ordinal), poison_(poison) {}
  std::byte* take(std::size_t bytes) override;  // aligned to 256
  void give_back(std::byte* data, std::size_t bytes) noexcept override;
  std::size_t available() const override;
  std::string exhausted() const override;  // with what other programs hold

 private:
  const int ordinal_;
  const bool poison_;
};

class PinnedMemory final : public MemorySource {
 public:
  explicit PinnedMemory(bool poison) : poison_(poison) {}
  std::byte* take(std::size_t bytes) override;
  void give_back(std::byte* data, std::size_t bytes) noexcept override;
  std::string exhausted() const override;  // with what limits it
  std::string advice() const override;

 private:
  const bool poison_;
};

}  // namespace shardlora
