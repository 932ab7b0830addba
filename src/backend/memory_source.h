// Where an arena's bytes come from: the host's pages, pinned host memory, a GPU.
#pragma once

#include <cstddef>
#include <string>

namespace shardlora {

class MemorySource {
 public:
  virtual ~MemorySource() = default;
  // bytes: whole pages of 4 KiB. Null when there is no more.
  virtual std::byte* take(std::size_t bytes) = 0;
  virtual void give_back(std::byte* data, std::size_t bytes) noexcept = 0;
  // Bytes that it could still give, as far as that is known; that many where it is not.
  virtual std::size_t available() const { return static_cast<std::size_t>(-1); }
  // What has run out, for the message: "this machine has no more memory"; and what to do about it.
  virtual std::string exhausted() const = 0;
  virtual std::string advice() const { return "lower micro_batch_size or sequence_len, or end other programs"; }
};

// Host memory: on a page of its own; from 2 MiB on at a multiple of 2 MiB, for huge pages, with a page behind it that
// faults. poison: fresh and released memory reads as NaN.
class HostMemory final : public MemorySource {
 public:
  explicit HostMemory(bool poison) : poison_(poison) {}
  std::byte* take(std::size_t bytes) override;
  void give_back(std::byte* data, std::size_t bytes) noexcept override;
  std::string exhausted() const override { return "this machine has no more memory"; }

 private:
  const bool poison_;
};

// Addresses without memory: whoever touches them faults.
class ReservedAddresses {
 public:
  std::byte* take(std::size_t bytes);  // null when there are no more
  void give_back(std::byte* data, std::size_t bytes) noexcept;
};

}  // namespace shardlora
