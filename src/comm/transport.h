// What moves bytes between ranks, as blocking calls: a HostCommunicator runs them on its stream, one at a time. Every
// rank must make the same calls in the same order. Only `abort` and `check` may be called from other threads.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace shardlora {

class Transport {
 public:
  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // As in Communicator. When they return, this rank's buffers are free again. PeerFailed when another rank stopped.
  virtual void all_gather(std::byte* out, const std::byte* mine, std::span<const std::size_t> offsets) = 0;
  virtual void all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                          std::span<const std::size_t> send) = 0;
  virtual void barrier() = 0;
  virtual void abort() noexcept = 0;
  // Throws PeerFailed when a rank aborted or its process has died; not where one has left in order. Does not block; any
  // thread, at any time.
  virtual void check() = 0;
};

// Everybody's string, by rank.
std::vector<std::string> exchange_strings(Transport& transport, const std::string& mine);

// What PeerFailed says.
std::string stopped(int rank);

}  // namespace shardlora
