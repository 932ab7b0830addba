// The memory of one tier: hands out buffers, counts them by purpose and holds the tier's limit as a hard ceiling.
// Bytes are counted as they are given out: whole pages of 4 KiB. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "backend/device.h"
#include "backend/memory_source.h"
#include "tensor/buffer.h"

namespace shardlora {

// "frozen 20.0 MiB, live 0.0 MiB (peak 30.0)": who holds how much, and held more.
std::string by_purpose(const MemoryUse& use);

class Arena final : public Allocator {
 public:
  // limit: bytes, 0 for none.
  Arena(Tier tier, std::size_t limit, std::unique_ptr<MemorySource> source) : tier_(tier), source_(std::move(source)) {
    use_.limit = limit;
  }

  // Uninitialised memory, as the source gives it. No bytes: an empty Buffer. OutOfMemory names what is needed, what
  // is free and who holds the rest.
  Buffer allocate(std::size_t bytes, Purpose purpose);
  void release(std::byte* data, std::size_t bytes, Tier tier, Purpose purpose) noexcept override;
  MemoryUse use() const;
  void reset_peaks();
  // See Device::count_only.
  void count_only(bool on);

 private:
  void charge(std::size_t bytes, Purpose purpose);
  std::byte* take(std::size_t bytes);
  void give_back(std::byte* data, std::size_t bytes) noexcept;

  const Tier tier_;
  const std::unique_ptr<MemorySource> source_;
  mutable std::mutex mutex_;
  ReservedAddresses addresses_;
  std::set<std::byte*> counted_;  // given out while only counting
  bool counting_ = false;
  std::size_t countable_ = 0;  // bytes that the source could have given when counting began
  MemoryUse use_;
};

}  // namespace shardlora
