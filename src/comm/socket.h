// TCP connections between ranks, with time limits: nobody waits for ever for a peer that is not there, and one whose
// machine went silent is given up after half a minute (keep-alive).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace shardlora {

using Deadline = std::chrono::steady_clock::time_point;
inline Deadline deadline_in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

// A numeric address and a port.
struct Endpoint {
  std::string host;
  int port = 0;
};

// Owns a descriptor; move-only. -1: none.
class Socket {
 public:
  explicit Socket(int descriptor = -1) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(other.release()) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  int descriptor() const { return descriptor_; }
  bool open() const { return descriptor_ >= 0; }
  Endpoint local() const;
  // Ends both directions: this side and the other one see the end at once. From any thread.
  void shut_down() const noexcept;

  // All bytes, or false when the other side is gone, or at the deadline.
  bool send(const void* data, std::size_t bytes) const;
  bool receive(void* data, std::size_t bytes, Deadline deadline = Deadline::max()) const;

 private:
  int release();
  int descriptor_;
};

// Listens on the address that `host` (a name or a number) has on this machine; port 0: a free one. errno in `error`.
Socket listen_at(const std::string& host, int port, int& error);
// The next connection to `listener`; a closed socket at the deadline.
Socket accept_from(const Socket& listener, Deadline deadline);
// One attempt, of at most two seconds. errno in `error`; an unknown host name is an Error.
Socket connect_to(const std::string& host, int port, int& error);

}  // namespace shardlora
