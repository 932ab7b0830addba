#include "comm/tcp_transport.h"

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace shardlora {

namespace {

// What the connecting rank says: the secret is known to ranks of this communicator only.
struct Hello {
  std::uint64_t secret[2];
  std::int32_t rank;
};

void copy(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (bytes != 0 && to != from) std::memcpy(to, from, bytes);
}

}  // namespace

TcpTransport::TcpTransport(Rendezvous& rendezvous, const std::string& address)
    : rank_(rendezvous.rank()), sockets_(static_cast<std::size_t>(rendezvous.size())) {
  constexpr std::chrono::seconds kPatience(60);
  int error = 0;
  const Socket listener = listen_at(address, 0, error);
  Hello mine{{}, rank_};
  const bool random = getrandom(mine.secret, sizeof mine.secret, 0) == sizeof mine.secret;
  std::string said = fmt::format("{} {}|", listener.open() ? listener.local().port : 0, address);
  said.append(reinterpret_cast<const char*>(mine.secret), sizeof mine.secret);
  const std::vector<std::string> all = rendezvous.exchange(said);
  if (!listener.open() || !random) fail("rank {} cannot listen at {}: {}", rank_, address, std::strerror(error));

  // The connection between two ranks is made by the higher one.
  for (int r = 0; r < rank_; ++r) {
    const std::string& theirs = all[static_cast<std::size_t>(r)];
    const std::size_t blank = theirs.find(' '), bar = theirs.find('|');
    const std::string host = theirs.substr(blank + 1, bar - blank - 1);
    const int port = std::stoi(theirs.substr(0, blank));
    Hello hello{{}, rank_};
    std::memcpy(hello.secret, theirs.data() + bar + 1, sizeof hello.secret);
    Socket socket = connect_to(host, port, error);
    if (!socket.open() || !socket.send(&hello, sizeof hello))
      fail("rank {} cannot reach rank {} at {}:{}: {}; the hosts of a run must reach each other on all ports", rank_, r,
           host, port, std::strerror(error));
    sockets_[static_cast<std::size_t>(r)] = std::move(socket);
  }
  const Deadline deadline = deadline_in(kPatience);
  for (int there = rank_ + 1; there < size();) {
    Socket socket = accept_from(listener, deadline);
    if (!socket.open()) fail("rank {}: other ranks did not connect to {}; can they reach it?", rank_, address);
    Hello hello{};
    if (!socket.receive(&hello, sizeof hello, deadline_in(std::chrono::seconds(2))) ||
        std::memcmp(hello.secret, mine.secret, sizeof hello.secret) != 0 || hello.rank <= rank_ || hello.rank >= size())
      continue;  // not one of ours
    sockets_[static_cast<std::size_t>(hello.rank)] = std::move(socket);
    ++there;
  }
}

void TcpTransport::ended(int peer) const { throw PeerFailed(stopped(aborted_ ? rank_ : peer)); }

// A goodbye lies unread before the end of a connection that was closed in order.
TcpTransport::~TcpTransport() {
  const Header goodbye{Kind::kGoodbye, 0};
  for (const Socket& socket : sockets_)
    if (socket.open()) ::send(socket.descriptor(), &goodbye, sizeof goodbye, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void TcpTransport::check() {
  for (int r = 0; r < size(); ++r) {
    if (r == rank_) continue;
    char byte;
    const ssize_t there = recv(sockets_[static_cast<std::size_t>(r)].descriptor(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (aborted_ || there == 0 || (there < 0 && errno != EAGAIN && errno != EINTR)) ended(r);
  }
}

// True when all is sent.
bool TcpTransport::send_some(int peer, Message& message) {
  const int socket = sockets_[static_cast<std::size_t>(peer)].descriptor();
  const std::size_t total = sizeof(Header) + message.sends.bytes;
  while (message.sent < total) {
    const bool head = message.sent < sizeof(Header);
    const auto* const data = head ? reinterpret_cast<const std::byte*>(&message.sends) + message.sent
                                  : message.from + (message.sent - sizeof(Header));
    const std::size_t left = head ? sizeof(Header) - message.sent : total - message.sent;
    const ssize_t sent =
        ::send(socket, data, left, MSG_NOSIGNAL | MSG_DONTWAIT | (head && total > sizeof(Header) ? MSG_MORE : 0));
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (sent <= 0) ended(peer);
    message.sent += static_cast<std::size_t>(sent);
  }
  return true;
}

// True when all is there.
bool TcpTransport::receive_some(int peer, Message& message) {
  const int socket = sockets_[static_cast<std::size_t>(peer)].descriptor();
  const std::size_t total = sizeof(Header) + message.receives.bytes;
  while (message.got < total) {
    const bool head = message.got < sizeof(Header);
    auto* const data = head ? reinterpret_cast<std::byte*>(&message.received) + message.got
                            : message.to + (message.got - sizeof(Header));
    const std::size_t left = head ? sizeof(Header) - message.got : total - message.got;
    const ssize_t got = recv(socket, data, left, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got <= 0) ended(peer);
    message.got += static_cast<std::size_t>(got);
    if (!head || message.got < sizeof(Header)) continue;
    if (message.received.kind == Kind::kGoodbye) ended(peer);
    CHECK(message.received.kind == message.receives.kind,
          "ranks {} and {} are in different collectives: all must issue the same in the same order", rank_, peer);
    CHECK(message.received.bytes == message.receives.bytes, "rank {} sends {} bytes, rank {} expects {}", peer,
          message.received.bytes, rank_, message.receives.bytes);
  }
  return true;
}

void TcpTransport::exchange(Kind kind, std::vector<Message>& messages) {
  for (Message& message : messages) message.sends.kind = message.receives.kind = kind;
  std::vector<bool> sent(messages.size()), received(messages.size());
  for (;;) {
    std::vector<pollfd> entries;
    for (int r = 0; r < size(); ++r) {
      if (r == rank_) continue;
      const auto i = static_cast<std::size_t>(r);
      if (!sent[i]) sent[i] = send_some(r, messages[i]);
      if (!received[i]) received[i] = receive_some(r, messages[i]);
      if (sent[i] && received[i]) continue;
      entries.push_back(
          {sockets_[i].descriptor(), static_cast<short>((sent[i] ? 0 : POLLOUT) | (received[i] ? 0 : POLLIN)), 0});
    }
    if (entries.empty()) return;
    const int ready = poll(entries.data(), entries.size(), -1);
    CHECK(ready >= 0 || errno == EINTR, "poll failed");
  }
}

void TcpTransport::all_gather(std::byte* out, const std::byte* mine, std::span<const std::size_t> offsets) {
  const auto me = static_cast<std::size_t>(rank_);
  const std::size_t own = offsets[me + 1] - offsets[me];
  std::vector<Message> messages(sockets_.size());
  for (std::size_t r = 0; r < messages.size(); ++r) {
    messages[r].sends.bytes = own;
    messages[r].from = mine;
    messages[r].receives.bytes = offsets[r + 1] - offsets[r];
    messages[r].to = out + offsets[r];
  }
  exchange(Kind::kGather, messages);
  copy(out + offsets[me], mine, own);
}

void TcpTransport::all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                              std::span<const std::size_t> send) {
  std::vector<Message> messages(sockets_.size());
  for (std::size_t r = 0; r < messages.size(); ++r) {
    messages[r].sends.bytes = send[r + 1] - send[r];
    messages[r].from = in + send[r];
    messages[r].receives.bytes = receive[r + 1] - receive[r];
    messages[r].to = out + receive[r];
  }
  const auto me = static_cast<std::size_t>(rank_);
  exchange(Kind::kAllToAll, messages);
  copy(out + receive[me], in + send[me], send[me + 1] - send[me]);
}

void TcpTransport::barrier() {
  std::vector<Message> messages(sockets_.size());
  exchange(Kind::kBarrier, messages);
}

void TcpTransport::abort() noexcept {
  aborted_ = true;
  for (const Socket& socket : sockets_) socket.shut_down();
}

}  // namespace shardlora
