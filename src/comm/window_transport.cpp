#include "comm/window_transport.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/error.h"
#include "comm/process.h"

namespace shardlora {

namespace {

constexpr int kSpins = 400;                    // about a microsecond: a core is worth more to the kernels than to us
constexpr std::uint32_t kLooks = 8;            // of check(), between two at processes, which cost system calls
constexpr timespec kNap{0, 20 * 1000 * 1000};  // between two looks at whether the peer still lives

// libstdc++'s atomic::wait works inside one process only. False when the nap is over and nothing has come.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen) {
  return syscall(SYS_futex, &word, FUTEX_WAIT, seen, &kNap, nullptr, 0) == 0 || errno != ETIMEDOUT;
}
void futex_wake(std::atomic<std::uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
}

bool reached(std::uint32_t value, std::uint32_t target) { return static_cast<std::int32_t>(value - target) >= 0; }

std::size_t pieces(std::size_t bytes, std::size_t piece) { return (bytes + piece - 1) / piece; }

// The c-th piece of `bytes`: where it begins and how long it is (0 past the end).
std::pair<std::size_t, std::size_t> piece_of(std::size_t bytes, std::size_t c, std::size_t piece) {
  const std::size_t begin = std::min(bytes, c * piece);
  return {begin, std::min(piece, bytes - begin)};
}

void copy(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (bytes != 0 && to != from) std::memcpy(to, from, bytes);
}

}  // namespace

WindowTransport::WindowTransport(std::shared_ptr<WindowSegment> segment, int rank)
    : segment_(std::move(segment)), rank_(rank) {
  RankWords& mine = segment_->words(rank_);
  mine.pid = getpid();
  mine.started = process_start(mine.pid);
}

WindowTransport::~WindowTransport() {
  RankWords& mine = segment_->words(rank_);
  mine.left.store(1, std::memory_order_release);
  futex_wake(mine.written);
}

void WindowTransport::abort(WindowSegment& segment, int rank) noexcept {
  std::uint32_t none = 0;
  segment.abort_word().compare_exchange_strong(none, static_cast<std::uint32_t>(rank) + 1);
  for (int r = 0; r < segment.ranks(); ++r) futex_wake(segment.words(r).written);
}

void WindowTransport::give_up_on(int peer) {
  abort(*segment_, peer);
  throw PeerFailed(stopped(peer));
}

void WindowTransport::check() {
  if (const std::uint32_t culprit = segment_->abort_word().load(); culprit != 0)
    throw PeerFailed(stopped(static_cast<int>(culprit) - 1));
  if (looks_++ % kLooks != 0) return;
  for (int r = 0; r < size(); ++r) {
    RankWords& theirs = segment_->words(r);
    if (theirs.left.load(std::memory_order_acquire) == 0 && process_start(theirs.pid) != theirs.started &&
        theirs.left.load(std::memory_order_acquire) == 0)
      give_up_on(r);
  }
}

void WindowTransport::await(int peer) {
  RankWords& theirs = segment_->words(peer);
  std::atomic<std::uint32_t>& word = theirs.written;
  for (int i = 0; i < kSpins; ++i)
    if (reached(word.load(std::memory_order_acquire), step_)) return;
  bool woken = true;
  for (;;) {
    const std::uint32_t seen = word.load(std::memory_order_acquire);
    if (reached(seen, step_)) return;
    if (const std::uint32_t culprit = segment_->abort_word().load(); culprit != 0)
      throw PeerFailed(stopped(static_cast<int>(culprit) - 1));
    const bool left = theirs.left.load(std::memory_order_acquire) != 0;
    if (left || (!woken && process_start(theirs.pid) != theirs.started)) {
      if (reached(word.load(std::memory_order_acquire), step_)) return;  // its last act, then it went
      give_up_on(peer);
    }
    woken = futex_wait(word, seen);
  }
}

template <typename Fill, typename Drain>
void WindowTransport::step(Kind kind, Fill fill, Drain drain) {
  ++step_;
  const auto peer = [&](int k) { return (rank_ + k) % size(); };  // each rank begins with another one
  RankWords& mine = segment_->words(rank_);
  if (const std::uint32_t culprit = segment_->abort_word().load(); culprit != 0)
    throw PeerFailed(stopped(static_cast<int>(culprit) - 1));

  // This window was filled two steps ago last, and everybody has read that: each peer has filled the window of the last
  // step since (we waited for it), and it did that after it was done with the step before.
  StepHeader& header = segment_->header(rank_, step_);
  header.kind = static_cast<std::uint32_t>(kind);
  fill(segment_->window(rank_, step_), header);
  mine.written.store(step_, std::memory_order_release);
  futex_wake(mine.written);

  for (int k = 1; k < size(); ++k) {
    const int from = peer(k);
    await(from);
    const StepHeader& theirs = segment_->header(from, step_);
    CHECK(theirs.kind == header.kind,
          "ranks {} and {} are in different collectives: all must issue the same in the same order", rank_, from);
    drain(from, segment_->window(from, step_), theirs);
  }
}

void WindowTransport::barrier() {
  step(Kind::kBarrier, [](std::byte*, StepHeader&) {}, [](int, const std::byte*, const StepHeader&) {});
}

void WindowTransport::all_gather(std::byte* out, const std::byte* mine, std::span<const std::size_t> offsets) {
  const auto share = [&](int r) {
    return offsets[static_cast<std::size_t>(r) + 1] - offsets[static_cast<std::size_t>(r)];
  };
  std::size_t chunks = 0;
  for (int r = 0; r < size() && size() > 1; ++r) chunks = std::max(chunks, pieces(share(r), kWindowBytes));
  for (std::size_t c = 0; c < chunks; ++c)
    step(
        Kind::kGather,
        [&](std::byte* window, StepHeader& header) {
          const auto [begin, bytes] = piece_of(share(rank_), c, kWindowBytes);
          header.bytes[0] = share(rank_);
          copy(window, mine + begin, bytes);
        },
        [&](int from, const std::byte* window, const StepHeader& header) {
          CHECK(header.bytes[0] == share(from), "all_gather: rank {} has {} bytes, rank {} expects {}", from,
                header.bytes[0], rank_, share(from));
          const auto [begin, bytes] = piece_of(share(from), c, kWindowBytes);
          copy(out + offsets[static_cast<std::size_t>(from)] + begin, window, bytes);
        });
  copy(out + offsets[static_cast<std::size_t>(rank_)], mine, share(rank_));
}

void WindowTransport::all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                                 std::span<const std::size_t> send) {
  const auto at = [](std::span<const std::size_t> offsets, int r) { return offsets[static_cast<std::size_t>(r)]; };
  const auto share = [&](std::span<const std::size_t> offsets, int r) { return at(offsets, r + 1) - at(offsets, r); };
  // A window is cut evenly between the peers: rank d's part is that of its distance from the owner.
  const std::size_t part = kWindowBytes / static_cast<std::size_t>(std::max(1, size() - 1)) / 64 * 64;
  const auto part_of = [&](int owner, int d) {
    return static_cast<std::size_t>((d - owner + size()) % size() - 1) * part;
  };

  // How many steps are needed only the senders know: everybody says his number in the first step, the largest counts.
  std::size_t mine = 1;
  for (int r = 0; r < size(); ++r)
    if (r != rank_) mine = std::max(mine, pieces(share(send, r), part));
  std::size_t chunks = size() > 1 ? mine : 0;
  for (std::size_t c = 0; c < chunks; ++c)
    step(
        Kind::kAllToAll,
        [&](std::byte* window, StepHeader& header) {
          header.chunks = static_cast<std::uint32_t>(mine);
          for (int to = 0; to < size(); ++to) {
            if (to == rank_) continue;
            const auto [begin, bytes] = piece_of(share(send, to), c, part);
            header.bytes[to] = share(send, to);
            copy(window + part_of(rank_, to), in + at(send, to) + begin, bytes);
          }
        },
        [&](int from, const std::byte* window, const StepHeader& header) {
          chunks = std::max<std::size_t>(chunks, header.chunks);
          CHECK(header.bytes[rank_] == share(receive, from), "all_to_all: rank {} sends {} bytes, rank {} expects {}",
                from, header.bytes[rank_], rank_, share(receive, from));
          const auto [begin, bytes] = piece_of(share(receive, from), c, part);
          copy(out + at(receive, from) + begin, window + part_of(from, rank_), bytes);
        });
  copy(out + at(receive, rank_), in + at(send, rank_), share(send, rank_));
}

}  // namespace shardlora
