// Collectives between the ranks of a job. A communicator owns its stream: a call returns at once, starts after the
// Event it is given, and returns the Event of its completion; until then its buffers must not be touched. Every rank
// must issue the same calls in the same order. Two calls of one communicator never overlap; to overlap two kinds of
// traffic, make two communicators. Memory is that of the device it was made for: between GPUs by NCCL nothing else
// goes. Sums are not here on purpose: which rank adds what in which order decides the bits, so the caller exchanges and
// adds.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "backend/stream.h"

namespace shardlora {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Buffers are device memory (Tier::kDevice).
  // Every rank's `share` bytes, the same number for all: rank i's land at out + i * share on every rank. `mine` may
  // already lie in its place in `out`.
  virtual Event all_gather(std::byte* out, const std::byte* mine, std::size_t share, Event after) = 0;
  // Sends in[send[j] .. send[j + 1]) to rank j; what rank i sent here lands at out[receive[i] .. receive[i + 1]).
  // Offsets: W + 1, copied before the call returns.
  virtual Event all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                           std::span<const std::size_t> send, Event after) = 0;
  // Blocks the host until all ranks have come here.
  virtual void barrier() = 0;
  // Blocks the host until `event` of this communicator is done; throws what failed (PeerFailed when another rank
  // stopped). A GPU's stream that waits for a collective of NCCL goes on where that fails (others' failures travel with
  // the wait): what was computed after it counts only after a `synchronize` that came later, be it of the default
  // event, which does not block.
  virtual void synchronize(Event event) = 0;
  // Ends the collectives of every rank with PeerFailed. Returns at once, may be called from any thread, more than once.
  virtual void abort() noexcept = 0;
};

}  // namespace shardlora
