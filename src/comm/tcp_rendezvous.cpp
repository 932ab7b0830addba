#include "comm/tcp_rendezvous.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "comm/process.h"
#include "comm/tcp_transport.h"
#include "comm/transport.h"
#include "comm/window_transport.h"

namespace shardlora {

namespace {

constexpr std::uint32_t kProtocol = 1;
constexpr std::uint64_t kStopped = UINT64_MAX - 0xFFFF;  // a length from here on: that rank stopped
constexpr std::uint64_t kLongest = std::uint64_t{1} << 32;

// The first thing that a rank says; fixed in size and checked before anything else is read.
struct Hello {
  char magic[12] = "shardlora\n";
  std::uint32_t protocol = kProtocol;
  std::int32_t rank = 0, size = 0;
  char version[40] = {};
};
// The answer: empty, or why not.
struct Verdict {
  char problem[256] = {};
};

template <std::size_t N>
void put(char (&to)[N], const std::string& text) {
  std::memcpy(to, text.data(), std::min(text.size(), N - 1));
}
template <std::size_t N>
std::string text_of(const char (&from)[N]) {
  return {from, strnlen(from, N)};
}

int variable(const char* name, int missing) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return missing;
  int value = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
  if (error != std::errc{} || *end != '\0' || value < 0)
    fail("environment variable {}={}: not a number from 0 on; torchrun and launch/shardrun set it for every rank", name,
         text);
  return value;
}

std::string seconds(std::chrono::milliseconds time) {
  return fmt::format("{:g} s", static_cast<double>(time.count()) / 1000);
}

bool send_string(const Socket& to, const std::string& text) {
  const std::uint64_t length = text.size();
  return to.send(&length, sizeof length) && to.send(text.data(), text.size());
}

std::string joined(const std::vector<std::string>& strings) {
  std::string all;
  for (const std::string& text : strings) {
    const std::uint64_t length = text.size();
    all.append(reinterpret_cast<const char*>(&length), sizeof length) += text;
  }
  return all;
}

std::vector<std::string> split(const std::string& all, int count) {
  std::vector<std::string> strings;
  std::size_t at = 0;
  for (int i = 0; i < count; ++i) {
    std::uint64_t length = 0;
    CHECK(all.size() - at >= sizeof length, "an exchange came back short");
    std::memcpy(&length, all.data() + at, sizeof length);
    at += sizeof length;
    CHECK(all.size() - at >= length, "an exchange came back short");
    strings.push_back(all.substr(at, length));
    at += length;
  }
  return strings;
}

}  // namespace

TcpRank tcp_rank_of_environment() {
  TcpRank launched;
  launched.size = variable("WORLD_SIZE", 1);
  launched.rank = variable("RANK", -1);
  if (launched.rank < 0)
    fail("WORLD_SIZE={}, but RANK is not set; start with launch/shardrun, torchrun --no-python or mpirun -np {}",
         launched.size, launched.size);
  if (launched.rank >= launched.size)
    fail("RANK={} and WORLD_SIZE={}: ranks count from 0 to one below WORLD_SIZE", launched.rank, launched.size);
  launched.local_rank = variable("LOCAL_RANK", -1);
  launched.local_size = variable("LOCAL_WORLD_SIZE", -1);
  const char* const address = std::getenv("MASTER_ADDR");
  launched.address = address != nullptr ? address : "";
  launched.port = variable("MASTER_PORT", 0);
  if (launched.address.empty() || launched.port == 0 || launched.port > 65535)
    fail(
        "RANK={} and WORLD_SIZE={}, but not where rank 0 is: set MASTER_ADDR and MASTER_PORT, or start with "
        "launch/shardrun",
        launched.rank, launched.size);
  // torchrun may keep MASTER_PORT for a store of its own; the port above it is ours then.
  if (const char* const taken = std::getenv("TORCHELASTIC_USE_AGENT_STORE"); taken != nullptr && *taken == 'T')
    ++launched.port;
  return launched;
}

TcpRendezvous::TcpRendezvous(const TcpRank& launched, const std::string& version, std::chrono::milliseconds patience)
    : rank_(launched.rank), size_(launched.size) {
  if (rank_ == 0)
    serve(launched, deadline_in(patience), version);
  else
    come(launched, deadline_in(patience), version);
  find_neighbours(launched);
}

TcpRendezvous::~TcpRendezvous() = default;

void TcpRendezvous::serve(const TcpRank& launched, Deadline deadline, const std::string& version) {
  const auto start = std::chrono::steady_clock::now();
  int error = 0;
  const Socket listener = listen_at(launched.address, launched.port, error);
  if (!listener.open() && error == EADDRINUSE)
    fail("port {} of {} is in use, by another run perhaps; choose another MASTER_PORT (launch/shardrun --master-port)",
         launched.port, launched.address);
  if (!listener.open())
    fail("rank 0 cannot serve at {}:{}: {}; MASTER_ADDR has to be an address of this machine", launched.address,
         launched.port, std::strerror(error));
  address_ = listener.local().host;
  sockets_.resize(static_cast<std::size_t>(size_));
  for (int there = 1; there < size_;) {
    Socket socket = accept_from(listener, deadline);
    if (!socket.open()) {
      std::string missing;
      for (int r = 1; r < size_; ++r)
        if (!sockets_[static_cast<std::size_t>(r)].open())
          missing += fmt::format("{}{}", missing.empty() ? "" : ", ", r);
      const auto waited =
          std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
      fail(
          "rank 0 waited {} at {}:{}, but of {} ranks these did not come: {}; see what they printed, and whether they "
          "can reach this address",
          seconds(waited), launched.address, launched.port, size_, missing);
    }
    Hello hello;
    if (!socket.receive(&hello, sizeof hello, std::min(deadline, deadline_in(std::chrono::seconds(2)))) ||
        std::memcmp(hello.magic, Hello{}.magic, sizeof hello.magic) != 0)
      continue;  // not one of ours
    std::string problem;
    if (hello.protocol != kProtocol || text_of(hello.version) != version)
      problem = fmt::format("rank {} runs shardlora {}, rank 0 {}; start the same program everywhere", hello.rank,
                            text_of(hello.version), version);
    else if (hello.size != size_)
      problem = fmt::format("rank {} was started with WORLD_SIZE={}, rank 0 with {}", hello.rank, hello.size, size_);
    else if (hello.rank <= 0 || hello.rank >= size_ || sockets_[static_cast<std::size_t>(hello.rank)].open())
      problem =
          fmt::format("two processes were started with RANK={} at {}:{}", hello.rank, launched.address, launched.port);
    Verdict verdict;
    put(verdict.problem, problem);
    socket.send(&verdict, sizeof verdict);
    if (!problem.empty()) fail("{}", problem);
    sockets_[static_cast<std::size_t>(hello.rank)] = std::move(socket);
    ++there;
  }
}

void TcpRendezvous::come(const TcpRank& launched, Deadline deadline, const std::string& version) {
  const auto start = std::chrono::steady_clock::now();
  int error = 0;
  Socket socket;
  for (;;) {
    socket = connect_to(launched.address, launched.port, error);
    if (socket.open()) break;
    if (std::chrono::steady_clock::now() >= deadline) {
      const auto waited =
          std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
      fail(
          "rank {}: rank 0 does not answer at {}:{} after {} ({}); was it started, with this MASTER_ADDR and "
          "MASTER_PORT?",
          rank_, launched.address, launched.port, seconds(waited), std::strerror(error));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  Hello hello;
  hello.rank = rank_;
  hello.size = size_;
  put(hello.version, version);
  Verdict verdict;
  if (!socket.send(&hello, sizeof hello) ||
      !socket.receive(&verdict, sizeof verdict, deadline + std::chrono::seconds(10)))
    fail("rank {}: what answers at {}:{} is not rank 0 of this run, or it has stopped; choose another MASTER_PORT",
         rank_, launched.address, launched.port);
  if (const std::string problem = text_of(verdict.problem); !problem.empty()) fail("{}", problem);
  address_ = socket.local().host;
  sockets_.push_back(std::move(socket));
}

// LOCAL_RANK and LOCAL_WORLD_SIZE as the launcher says, else counted; either way shared memory only where it is shared.
void TcpRendezvous::find_neighbours(const TcpRank& launched) {
  const std::vector<std::string> hosts =
      exchange(fmt::format("{}|{}|{}", launched.local_rank, launched.local_size, host_identity()));
  const auto identity = [&](int r) {
    const std::string& text = hosts[static_cast<std::size_t>(r)];
    return text.substr(text.find('|', text.find('|') + 1));
  };
  const auto said = [&](int r) {
    return hosts[static_cast<std::size_t>(r)].substr(0, hosts[static_cast<std::size_t>(r)].find('|')) != "-1";
  };
  for (int r = 0; r < size_; ++r)
    if (said(r) != said(0))
      fail("LOCAL_RANK is set for some ranks and not for rank {}; set it for all or for none", said(0) ? r : 0);

  if ((launched.local_rank < 0) != (launched.local_size < 0))
    fail("rank {}: only one of LOCAL_RANK and LOCAL_WORLD_SIZE is set; set both or none", rank_);
  if (launched.local_rank < 0) {
    local_rank_ = local_size_ = 0;
    for (int r = 0; r < size_; ++r) {
      if (identity(r) != identity(rank_)) continue;
      if (r < rank_) ++local_rank_;
      ++local_size_;
    }
  } else {
    local_rank_ = launched.local_rank;
    local_size_ = launched.local_size;
    int same = 0;
    for (int r = 0; r < size_; ++r)
      if (identity(r) == identity(rank_)) ++same;
    if (local_rank_ >= local_size_ || local_size_ > same)
      fail(
          "rank {}: LOCAL_RANK={} and LOCAL_WORLD_SIZE={}, but {} of the {} ranks run on this host; leave both unset, "
          "or start with launch/shardrun",
          rank_, local_rank_, local_size_, same, size_);
  }
  const std::vector<std::string> alone = exchange(local_size_ == size_ ? "one" : "several");
  one_host_ = std::all_of(alone.begin(), alone.end(), [](const std::string& text) { return text == "one"; });
}

void TcpRendezvous::tell_and_stop(int culprit) {
  const std::uint64_t word = kStopped + static_cast<std::uint64_t>(culprit);
  for (const Socket& socket : sockets_) {
    if (!socket.open()) continue;
    if (rank_ == 0) socket.send(&word, sizeof word);
    socket.shut_down();
  }
  throw PeerFailed(stopped(culprit));
}

// While it waits for one rank, rank 0 also sees another one go: a rank that has its answer still to get stays.
std::string TcpRendezvous::receive_from(int peer) {
  std::vector<pollfd> entries;
  std::vector<int> ranks;
  for (std::size_t r = 0; r < sockets_.size(); ++r) {
    if (!sockets_[r].open()) continue;
    entries.push_back({sockets_[r].descriptor(),
                       static_cast<short>(static_cast<int>(r) == peer ? POLLIN | POLLRDHUP : POLLRDHUP), 0});
    ranks.push_back(static_cast<int>(r));
  }
  for (bool here = false; !here;) {
    if (poll(entries.data(), entries.size(), -1) < 0) {
      CHECK(errno == EINTR, "poll failed");
      continue;
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if ((entries[i].revents & POLLIN) != 0 && ranks[i] == peer)
        here = true;
      else if (entries[i].revents != 0)
        tell_and_stop(ranks[i]);
    }
  }
  const Socket& socket = sockets_[static_cast<std::size_t>(peer)];
  std::uint64_t length = 0;
  if (!socket.receive(&length, sizeof length)) tell_and_stop(peer);
  if (length >= kStopped) tell_and_stop(static_cast<int>(length - kStopped));
  CHECK(length <= kLongest, "rank {} sends {} bytes in an exchange", peer, length);
  std::string text(length, '\0');
  if (!socket.receive(text.data(), length)) tell_and_stop(peer);
  return text;
}

std::vector<std::string> TcpRendezvous::exchange(const std::string& mine) {
  if (rank_ > 0) {
    if (!send_string(sockets_[0], mine)) {
      // Why rank 0 stopped may still lie in the socket.
      receive_from(0);
      tell_and_stop(0);
    }
    return split(receive_from(0), size_);
  }
  std::vector<std::string> all(static_cast<std::size_t>(size_));
  all[0] = mine;
  for (int r = 1; r < size_; ++r) all[static_cast<std::size_t>(r)] = receive_from(r);
  const std::string answer = joined(all);
  for (int r = 1; r < size_; ++r)
    if (!send_string(sockets_[static_cast<std::size_t>(r)], answer)) tell_and_stop(r);
  return all;
}

std::unique_ptr<Transport> TcpRendezvous::make_tcp_transport() {
  auto transport = std::make_unique<TcpTransport>(*this, address_);
  exchange({});  // nobody begins before all are there
  return transport;
}

std::unique_ptr<Transport> TcpRendezvous::make_transport() {
  if (!one_host_) return make_tcp_transport();
  auto transport = std::make_unique<WindowTransport>(WindowSegment::for_processes(*this), rank_);
  exchange({});
  return transport;
}

void TcpRendezvous::abort(int) noexcept {
  for (const Socket& socket : sockets_) socket.shut_down();
}

}  // namespace shardlora
