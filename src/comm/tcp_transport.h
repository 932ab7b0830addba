// Collectives over TCP: a connection between every two ranks, all of them sent and received on at once. For ranks on
// several hosts where there is no MPI. A peer that closes its connections has stopped; where several do, the first one
// seen is named.
#pragma once

#include <atomic>
#include <vector>

#include "comm/rendezvous.h"
#include "comm/socket.h"
#include "comm/transport.h"

namespace shardlora {

class TcpTransport final : public Transport {
 public:
  // Collective. `address`: where the other ranks reach this one.
  TcpTransport(Rendezvous& rendezvous, const std::string& address);
  ~TcpTransport() override;

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(sockets_.size()); }
  void all_gather(std::byte* out, const std::byte* mine, std::span<const std::size_t> offsets) override;
  void all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                  std::span<const std::size_t> send) override;
  void barrier() override;
  void abort() noexcept override;
  void check() override;

 private:
  enum class Kind : std::uint64_t { kGather = 1, kAllToAll, kBarrier, kGoodbye };
  // What goes to a rank and comes from it, each behind a header that says what it is.
  struct Header {
    Kind kind;
    std::uint64_t bytes;
  };
  struct Message {
    Header sends{}, receives{}, received{};
    const std::byte* from = nullptr;
    std::byte* to = nullptr;
    std::size_t sent = 0, got = 0;  // header and bytes
  };
  // One message each way with every other rank; own entries are not looked at.
  void exchange(Kind kind, std::vector<Message>& messages);
  bool send_some(int peer, Message& message);
  bool receive_some(int peer, Message& message);
  [[noreturn]] void ended(int peer) const;

  const int rank_;
  std::vector<Socket> sockets_;  // by rank, the own one closed
  std::atomic<bool> aborted_{false};
};

}  // namespace shardlora
