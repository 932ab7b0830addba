// The memory of one tier: hands out buffers, counts them by purpose and holds the tier's limit as a hard ceiling.
// Bytes are counted as they are given out: whole pages of 4 KiB. Thread-safe.
#pragma once

#include <mutex>

#include "backend/device.h"
#include "tensor/buffer.h"

namespace shardlora {

class Arena final : public Allocator {
 public:
  static constexpr std::size_t kPageBytes = 4096;
  // What `bytes` take: the number that every report shows.
  static constexpr std::size_t whole_pages(std::size_t bytes) {
    return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  }

  // limit: bytes, 0 for none. poison: fresh and released memory reads as NaN.
  Arena(Tier tier, std::size_t limit, bool poison) : tier_(tier), poison_(poison) { use_.limit = limit; }

  // Uninitialised memory on a page of its own; from 2 MiB on at a multiple of 2 MiB, for huge pages, with a page behind
  // it that faults. No bytes: an empty Buffer. An Error names what is needed, what is free and who holds the rest.
  Buffer allocate(std::size_t bytes, Purpose purpose);
  void release(std::byte* data, std::size_t bytes, Tier tier, Purpose purpose) noexcept override;
  MemoryUse use() const;

 private:
  void charge(std::size_t bytes, Purpose purpose);

  const Tier tier_;
  const bool poison_;
  mutable std::mutex mutex_;
  MemoryUse use_;
};

}  // namespace shardlora
