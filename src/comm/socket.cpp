#include "comm/socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/error.h"

namespace shardlora {

namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Addresses resolve(const std::string& host, int port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  const int problem = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (problem != 0)
    fail("cannot find the host \"{}\": {}; MASTER_ADDR has to be a name or an address of rank 0's machine", host,
         gai_strerror(problem));
  return {found, freeaddrinfo};
}

// False at the deadline.
bool ready(int descriptor, short events, Deadline deadline) {
  for (;;) {
    const auto left =
        deadline == Deadline::max()
            ? std::chrono::milliseconds(1000)
            : std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd entry{descriptor, events, 0};
    const int found = poll(&entry, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1000)));
    if (found > 0) return true;
    if (found < 0 && errno != EINTR) return false;
    if (deadline != Deadline::max() && left.count() <= 0) return false;
  }
}

void set(int descriptor, int level, int option, int value) {
  setsockopt(descriptor, level, option, &value, sizeof value);
}

void set_up(int descriptor) {
  set(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
  set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(descriptor, IPPROTO_TCP, TCP_KEEPCNT, 4);
  set(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, 30000);
}

// Where nobody listens at a port that the system also gives out, a connection to it may be given that very port.
bool connected_to_itself(const Socket& socket) {
  sockaddr_storage here{}, there{};
  socklen_t bytes = sizeof here, its_bytes = sizeof there;
  getsockname(socket.descriptor(), reinterpret_cast<sockaddr*>(&here), &bytes);
  getpeername(socket.descriptor(), reinterpret_cast<sockaddr*>(&there), &its_bytes);
  return bytes == its_bytes && std::memcmp(&here, &there, bytes) == 0;
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    if (open()) close(descriptor_);
    descriptor_ = other.release();
  }
  return *this;
}

Socket::~Socket() {
  if (open()) close(descriptor_);
}

int Socket::release() { return std::exchange(descriptor_, -1); }

void Socket::shut_down() const noexcept {
  if (open()) shutdown(descriptor_, SHUT_RDWR);
}

Endpoint Socket::local() const {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  char host[NI_MAXHOST] = {}, port[NI_MAXSERV] = {};
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  const bool known =
      getsockname(descriptor_, plain, &length) == 0 &&
      getnameinfo(plain, length, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0;
  CHECK(known, "a socket without an address");
  return {host, std::stoi(port)};
}

bool Socket::send(const void* data, std::size_t bytes) const {
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t sent = ::send(descriptor_, at, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += sent;
    bytes -= static_cast<std::size_t>(sent);
  }
  return true;
}

bool Socket::receive(void* data, std::size_t bytes, Deadline deadline) const {
  auto* at = static_cast<char*>(data);
  while (bytes > 0) {
    if (!ready(descriptor_, POLLIN, deadline)) return false;
    const ssize_t received = recv(descriptor_, at, bytes, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) return false;
    at += received;
    bytes -= static_cast<std::size_t>(received);
  }
  return true;
}

Socket listen_at(const std::string& host, int port, int& error) {
  const Addresses addresses = resolve(host, port);
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    Socket socket(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (socket.open()) {
      set(socket.descriptor(), SOL_SOCKET, SO_REUSEADDR, 1);
      if (bind(socket.descriptor(), a->ai_addr, a->ai_addrlen) == 0 && listen(socket.descriptor(), 512) == 0)
        return socket;
    }
    error = errno;
  }
  return Socket();
}

Socket accept_from(const Socket& listener, Deadline deadline) {
  if (!ready(listener.descriptor(), POLLIN, deadline)) return Socket();
  Socket socket(accept4(listener.descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
  if (socket.open()) set_up(socket.descriptor());
  return socket;
}

Socket connect_to(const std::string& host, int port, int& error) {
  const Addresses addresses = resolve(host, port);
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    Socket socket(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (socket.open()) {
      const timeval two_seconds{2, 0}, none{0, 0};  // holds for connect(2) as well, see socket(7)
      setsockopt(socket.descriptor(), SOL_SOCKET, SO_SNDTIMEO, &two_seconds, sizeof two_seconds);
      if (connect(socket.descriptor(), a->ai_addr, a->ai_addrlen) == 0) {
        if (connected_to_itself(socket)) {
          error = ECONNREFUSED;
          continue;
        }
        setsockopt(socket.descriptor(), SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
        set_up(socket.descriptor());
        return socket;
      }
    }
    error = errno == EINPROGRESS ? ETIMEDOUT : errno;
  }
  return Socket();
}

}  // namespace shardlora
