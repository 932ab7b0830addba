#include "comm/conformance.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "backend/cpu/cpu_stream.h"
#include "base/error.h"
#include "comm/transport.h"

namespace shardlora {

void require(bool condition, const char* sentence) {
  if (!condition) throw std::runtime_error(sentence);
}

namespace {

constexpr std::size_t kBeyondWindow = (std::size_t{5} << 20) + 77;  // more than two windows of shared memory

// Memory of the device under test, which the host may not be able to read.
class Memory {
 public:
  explicit Memory(Device& device) : device_(device), stream_(device.make_stream("test")) {}
  Buffer holding(const std::vector<std::byte>& bytes) {
    Buffer buffer = device_.allocate(bytes.size() + 1, Tier::kDevice, Purpose::kWorkspace);
    device_.copy(buffer.data(), bytes.data(), bytes.size(), *stream_);
    stream_->synchronize();
    return buffer;
  }
  std::vector<std::byte> read(const Buffer& buffer, std::size_t bytes) {
    std::vector<std::byte> host(bytes);
    device_.copy(host.data(), buffer.data(), bytes, *stream_);
    stream_->synchronize();
    return host;
  }

 private:
  Device& device_;
  std::unique_ptr<Stream> stream_;
};

// The byte at place `i` of what rank `from` sends to rank `to` in round `round`.
std::byte expected(std::size_t i, int from, int to, int round) {
  return static_cast<std::byte>((i * 7 + i / 251 + static_cast<std::size_t>(from * 31 + to * 57 + round * 13)) & 0xFF);
}

std::vector<std::size_t> offsets_of(const std::vector<std::size_t>& sizes) {
  std::vector<std::size_t> offsets{0};
  for (const std::size_t size : sizes) offsets.push_back(offsets.back() + size);
  return offsets;
}

// It comes again after so many bytes: what is longer than that is copied and compared as a whole.
constexpr std::size_t kPeriod = std::size_t{251} * 256;

void write_pattern(std::byte* to, std::size_t bytes, int from, int peer, int round) {
  for (std::size_t i = 0; i < std::min(bytes, kPeriod); ++i) to[i] = expected(i, from, peer, round);
  for (std::size_t i = kPeriod; i < bytes; i += kPeriod) std::memcpy(to + i, to, std::min(kPeriod, bytes - i));
}

bool has_pattern(const std::byte* data, std::size_t bytes, int from, int peer, int round) {
  for (std::size_t i = 0; i < std::min(bytes, kPeriod); ++i)
    if (data[i] != expected(i, from, peer, round)) return false;
  return bytes <= kPeriod || std::memcmp(data + kPeriod, data, bytes - kPeriod) == 0;
}

// Shares of every kind: none at all, one rank only, odd sizes, empty ones between, more than a window.
std::vector<std::vector<std::size_t>> share_lists(int ranks) {
  const auto n = static_cast<std::size_t>(ranks);
  std::vector<std::vector<std::size_t>> lists;
  lists.emplace_back(n, 0);
  lists.emplace_back(n, 1);
  lists.emplace_back(n, 65536);
  for (const std::size_t big : {std::size_t{4097}, kBeyondWindow}) {
    for (std::size_t only = 0; only < n; ++only) {
      lists.emplace_back(n, 0);
      lists.back()[only] = big;
    }
    lists.emplace_back(n);
    for (std::size_t r = 0; r < n; ++r) lists.back()[r] = r % 2 == 0 ? big + r : 3;
  }
  return lists;
}

constexpr int kToAll = 99;

void gathers_shares(CommContext& context) {
  const auto comm = context.make("gather");
  const auto me = static_cast<std::size_t>(comm->rank()), ranks = static_cast<std::size_t>(comm->size());
  Memory memory(context.device);
  int round = 0;
  for (const std::size_t share : {std::size_t{0}, std::size_t{1}, std::size_t{4097}, std::size_t{65536}, kBeyondWindow})
    for (const bool in_place : {false, true}) {
      ++round;
      std::vector<std::byte> own(share), out(ranks * share + 1, std::byte{0xEE});
      write_pattern(in_place ? out.data() + me * share : own.data(), share, comm->rank(), kToAll, round);
      const Buffer from = memory.holding(own), to = memory.holding(out);
      const std::byte* const mine = in_place ? to.data() + me * share : from.data();
      comm->synchronize(comm->all_gather(to.data(), mine, share, {}));
      out = memory.read(to, out.size());
      for (std::size_t r = 0; r < ranks; ++r)
        require(has_pattern(out.data() + r * share, share, static_cast<int>(r), kToAll, round),
                "all_gather: a share is wrong");
      require(out.back() == std::byte{0xEE}, "all_gather wrote past the end");
    }
}

// What carries host memory takes shares of any lengths.
void the_host_gathers_uneven_shares(CommContext& context) {
  const auto transport = context.ranks.make_transport();
  const auto me = static_cast<std::size_t>(transport->rank());
  int round = 0;
  for (const auto& shares : share_lists(transport->size())) {
    const auto offsets = offsets_of(shares);
    for (const bool in_place : {false, true}) {
      ++round;
      std::vector<std::byte> own(shares[me] + 1), out(offsets.back() + 1, std::byte{0xEE});
      std::byte* const mine = in_place ? out.data() + offsets[me] : own.data();
      write_pattern(mine, shares[me], transport->rank(), kToAll, round);
      transport->all_gather(out.data(), mine, offsets);
      for (std::size_t r = 0; r < shares.size(); ++r)
        require(has_pattern(out.data() + offsets[r], shares[r], static_cast<int>(r), kToAll, round),
                "all_gather of host memory: a share is wrong");
      require(out.back() == std::byte{0xEE}, "all_gather of host memory wrote past the end");
    }
  }
}

void exchanges_all_to_all(CommContext& context) {
  const auto comm = context.make("exchange");
  const int me = comm->rank(), ranks = comm->size();
  Memory memory(context.device);
  const auto bytes = [&](int from, int to, int round) -> std::size_t {
    switch (round) {
      case 0: return 0;
      case 1: return static_cast<std::size_t>(100 * from + to);
      case 2: return from == 0 && to == ranks - 1 ? kBeyondWindow : 0;  // only one pair has something to say
      case 3: return kBeyondWindow / 4 * static_cast<std::size_t>((from + 2 * to) % 3);
      default: return from == to ? 12345 : static_cast<std::size_t>((from * 5 + to * 3 + round) % 4) * 1000 + 1;
    }
  };
  for (int round = 0; round < 12; ++round) {
    std::vector<std::size_t> sends, receives;
    for (int r = 0; r < ranks; ++r) {
      sends.push_back(bytes(me, r, round));
      receives.push_back(bytes(r, me, round));
    }
    const auto send = offsets_of(sends), receive = offsets_of(receives);
    std::vector<std::byte> in(send.back()), out(receive.back() + 1, std::byte{0xEE});
    for (int r = 0; r < ranks; ++r)
      write_pattern(in.data() + send[static_cast<std::size_t>(r)], sends[static_cast<std::size_t>(r)], me, r, round);
    const Buffer from = memory.holding(in), to = memory.holding(out);
    comm->synchronize(comm->all_to_all(to.data(), receive, from.data(), send, {}));
    out = memory.read(to, out.size());
    for (int r = 0; r < ranks; ++r)
      require(has_pattern(out.data() + receive[static_cast<std::size_t>(r)], receives[static_cast<std::size_t>(r)], r,
                          me, round),
              "all_to_all: a part is wrong");
    require(out.back() == std::byte{0xEE}, "all_to_all wrote past the end");
  }
}

// Many collectives on their way at once, on two communicators, between streams that are delayed at random.
void is_ordered_by_events(CommContext& context) {
  constexpr std::size_t kShare = 3000;
  constexpr int kRounds = 40;
  const auto gather = context.make("one"), exchange = context.make("other");
  const auto n = static_cast<std::size_t>(gather->size());
  const auto produce = context.device.make_stream("produce"), consume = context.device.make_stream("consume");
  const auto offsets = offsets_of(std::vector<std::size_t>(n, kShare));
  const auto allocate = [&](std::size_t bytes, Tier tier) {
    return context.device.allocate(bytes, tier, Purpose::kWorkspace);
  };
  // What the host has written goes to the device, between ranks twice, and back. Pinned: copies return at once.
  struct Slot {
    Buffer written, mine, gathered, exchanged, got_gathered, got_exchanged;
  };
  std::vector<Slot> slots(kRounds);
  const int me = gather->rank();
  for (Slot& slot : slots) {
    slot.written = allocate(kShare, Tier::kPinned);
    slot.mine = allocate(kShare, Tier::kDevice);
    slot.gathered = allocate(kShare * n, Tier::kDevice);
    slot.exchanged = allocate(kShare * n, Tier::kDevice);
    slot.got_gathered = allocate(kShare * n, Tier::kPinned);
    slot.got_exchanged = allocate(kShare * n, Tier::kPinned);
  }
  for (int round = 0; round < kRounds; ++round) {
    Slot& slot = slots[static_cast<std::size_t>(round)];
    write_pattern(slot.written.data(), kShare, me, kToAll, round);
    context.device.copy(slot.mine.data(), slot.written.data(), kShare, *produce);
    auto cuts = offsets;
    const Event gathered = gather->all_gather(slot.gathered.data(), slot.mine.data(), kShare, produce->record());
    const Event exchanged = exchange->all_to_all(slot.exchanged.data(), cuts, slot.gathered.data(), cuts, gathered);
    cuts.assign(cuts.size(), 0);  // offsets were copied before the calls returned
    consume->wait(exchanged);
    context.device.copy(slot.got_gathered.data(), slot.gathered.data(), kShare * n, *consume);
    context.device.copy(slot.got_exchanged.data(), slot.exchanged.data(), kShare * n, *consume);
  }
  consume->synchronize();
  for (int round = 0; round < kRounds; ++round) {
    const Slot& slot = slots[static_cast<std::size_t>(round)];
    for (std::size_t r = 0; r < n; ++r) {
      const char* const sentence = "a collective ran before what it had to wait for";
      require(has_pattern(slot.got_gathered.data() + r * kShare, kShare, static_cast<int>(r), kToAll, round), sentence);
      // Rank i sent the me-th share of what it had gathered: mine.
      require(has_pattern(slot.got_exchanged.data() + r * kShare, kShare, me, kToAll, round), sentence);
    }
  }
}

void barrier_waits_for_all(CommContext& context) {
  const auto comm = context.make("barrier");
  comm->barrier();
  const auto start = std::chrono::steady_clock::now();
  if (comm->rank() == comm->size() - 1) std::this_thread::sleep_for(std::chrono::milliseconds(150));
  comm->barrier();
  const auto waited = std::chrono::steady_clock::now() - start;
  require(waited > std::chrono::milliseconds(100), "a barrier let a rank pass before the last one came");
}

void exchanges_strings(CommContext& context) {
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{70000}}) {
    const std::string mine(length * static_cast<std::size_t>(context.ranks.rank()),
                           static_cast<char>(context.ranks.rank()));
    const std::vector<std::string> all = context.ranks.exchange(mine);
    require(static_cast<int>(all.size()) == context.ranks.size(), "exchange: not a string of every rank");
    for (std::size_t r = 0; r < all.size(); ++r)
      require(all[r] == std::string(length * r, static_cast<char>(r)), "exchange: a string is wrong");
  }
}

template <typename Exception, typename Function>
bool throws(Function function) {
  try {
    function();
  } catch (const Exception&) {
    return true;
  }
  return false;
}

// The last rank fails before its part: it sees its own error, the others PeerFailed.
void an_abort_ends_everybody(CommContext& context) {
  const auto comm = context.make("abort");
  const bool last = comm->rank() == comm->size() - 1;
  Memory memory(context.device);
  const Buffer out = memory.holding(std::vector<std::byte>(static_cast<std::size_t>(comm->size()) * 64));
  const Buffer mine = memory.holding(std::vector<std::byte>(64));
  comm->synchronize(comm->all_gather(out.data(), mine.data(), 64, {}));
  context.ranks.exchange({});  // everybody has seen that it went well
  if (last) {
    CpuStream disk("disk", StreamMode::kQueued);
    disk.submit([] { fail("disk gone"); });
    const Event event = comm->all_gather(out.data(), mine.data(), 64, disk.record());
    try {
      comm->synchronize(event);
      require(false, "a failed stream did not fail the collective");
    } catch (const PeerFailed&) {
      require(false, "the failing rank blames another one");
    } catch (const Error&) {
    }
    comm->abort();
    comm->abort();
  } else {
    const Event event = comm->all_gather(out.data(), mine.data(), 64, {});
    require(throws<PeerFailed>([&] { comm->synchronize(event); }),
            "a collective went on without the rank that stopped");
    require(throws<PeerFailed>([&] { comm->barrier(); }), "a communicator went on after an abort");
  }
}

void other_communicators_survive_an_abort(CommContext& context) {
  const auto good = context.make("good");
  an_abort_ends_everybody(context);
  good->barrier();
}

void an_exception_lets_nobody_wait(CommContext& context) {
  const bool last = context.ranks.rank() == context.ranks.size() - 1;
  const bool ended = throws<Error>([&] {
    const auto comm = context.make("unwinding");
    if (last) fail("a bad row");  // unwinds the communicator
    comm->barrier();
  });
  require(ended, "a barrier went on without the rank that unwound");
}

}  // namespace

const std::vector<CommCheck>& comm_checks() {
  static const std::vector<CommCheck> checks{
      {"GathersShares", gathers_shares},
      {"TheHostGathersUnevenShares", the_host_gathers_uneven_shares},
      {"ExchangesAllToAll", exchanges_all_to_all},
      {"IsOrderedByEvents", is_ordered_by_events},
      {"BarrierWaitsForAll", barrier_waits_for_all},
      {"ExchangesStrings", exchanges_strings},
      {"AnAbortEndsEverybody", an_abort_ends_everybody},
      {"OtherCommunicatorsSurviveAnAbort", other_communicators_survive_an_abort},
      {"AnExceptionLetsNobodyWait", an_exception_lets_nobody_wait},
  };
  return checks;
}

}  // namespace shardlora
