// Collectives between ranks that share a WindowSegment. Every collective is a row of steps that all ranks make
// together: each fills its window, says so, and copies its part out of the windows of the others. Two windows a rank:
// while one is read, the next one is filled. Nobody waits for ever: a waiting rank watches for an abort, for a peer
// that has left and for one whose process is gone, and ends with PeerFailed (within a tenth of a second).
#pragma once

#include <memory>

#include "comm/transport.h"
#include "comm/window_segment.h"

namespace shardlora {

class WindowTransport final : public Transport {
 public:
  // Made on every rank before any of them begins (a Rendezvous::exchange lies between).
  WindowTransport(std::shared_ptr<WindowSegment> segment, int rank);
  // Peers that still wait for this rank end with PeerFailed.
  ~WindowTransport() override;

  int rank() const override { return rank_; }
  int size() const override { return segment_->ranks(); }
  void all_gather(std::byte* out, const std::byte* mine, std::span<const std::size_t> offsets) override;
  void all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                  std::span<const std::size_t> send) override;
  void barrier() override;
  void abort() noexcept override { abort(*segment_, rank_); }
  void check() override;
  // Ends what all ranks do in `segment`; they learn that `rank` was the cause. Only the first call counts.
  static void abort(WindowSegment& segment, int rank) noexcept;

 private:
  enum class Kind : std::uint32_t { kGather = 1, kAllToAll, kBarrier };
  // One step: fill(window, header) and drain(peer, window, header), each header checked for `kind` first.
  template <typename Fill, typename Drain>
  void step(Kind kind, Fill fill, Drain drain);
  // Until `peer` has filled its window of this step.
  void await(int peer);
  [[noreturn]] void give_up_on(int peer);

  const std::shared_ptr<WindowSegment> segment_;
  const int rank_;
  std::atomic<std::uint32_t> looks_{0};
  std::uint32_t step_ = 0;  // counts over all collectives, modulo 2^32
};

}  // namespace shardlora
