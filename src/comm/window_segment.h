// The memory that ranks of one host meet in: for every rank two windows that it alone writes and all read, and counters
// that say how far each of them has come. Shared between processes it is an anonymous file (memfd) without a name in
// any directory, so nothing is left behind however a process ends; between threads it is plain memory of the same
// layout.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "comm/rendezvous.h"

#include "tensor/pages.h"

namespace shardlora {

inline constexpr std::size_t kWindowBytes = std::size_t{2} << 20;  // a rank has two of them
inline constexpr int kMostLocalRanks = 256;

// What a rank does at a step, so that ranks that do different things notice.
struct StepHeader {
  std::uint32_t kind;                    // a Step of WindowTransport
  std::uint32_t chunks;                  // steps that this rank needs for the collective
  std::uint64_t bytes[kMostLocalRanks];  // for every rank
};

struct alignas(64) RankWords {
  std::atomic<std::uint32_t> written;  // the last step whose window is filled
  std::atomic<std::uint32_t> left;     // 1: this rank has gone and will do no further step
  std::int32_t pid;
  std::uint64_t started;  // with the pid it names one process
};

class WindowSegment {
 public:
  // Plain memory for the threads of this process, one of them or many.
  static std::shared_ptr<WindowSegment> for_threads(int ranks);
  // Memory that children forked from now on share with this process.
  static std::shared_ptr<WindowSegment> for_children(int ranks);
  // Collective: rank 0 makes the file, the others map it. All ranks must be processes of one host.
  static std::shared_ptr<WindowSegment> for_processes(Rendezvous& rendezvous);
  ~WindowSegment();

  int ranks() const { return ranks_; }
  std::atomic<std::uint32_t>& abort_word() {
    return *reinterpret_cast<std::atomic<std::uint32_t>*>(base_);
  }  // 1 + the rank
  RankWords& words(int rank) { return reinterpret_cast<RankWords*>(base_ + sizeof(RankWords))[rank]; }
  StepHeader& header(int rank, std::uint32_t step) { return *reinterpret_cast<StepHeader*>(slot(rank, step)); }
  std::byte* window(int rank, std::uint32_t step) { return slot(rank, step) + kHeaderBytes; }

 private:
  static constexpr std::size_t kHeaderBytes = kPage;
  static constexpr std::size_t kSlotBytes = kHeaderBytes + kWindowBytes;
  static_assert(sizeof(StepHeader) <= kHeaderBytes);
  static constexpr std::size_t words_bytes(int ranks) {
    return whole_pages((static_cast<std::size_t>(ranks) + 1) * sizeof(RankWords));
  }
  static std::size_t bytes(int ranks) { return words_bytes(ranks) + 2 * kSlotBytes * static_cast<std::size_t>(ranks); }
  std::byte* slot(int rank, std::uint32_t step) {
    return base_ + words_bytes(ranks_) + (2 * static_cast<std::size_t>(rank) + step % 2) * kSlotBytes;
  }

  WindowSegment(std::byte* base, int ranks) : base_(base), ranks_(ranks) {}
  static std::shared_ptr<WindowSegment> map(int ranks, int flags, int descriptor);

  std::byte* const base_;  // all zero at first
  const int ranks_;
};

}  // namespace shardlora
