// Ranks that know each other by torchrun's variables: rank 0 serves at MASTER_ADDR:MASTER_PORT, the others come to it.
// Nobody waits for ever: who is missing after two minutes is named. Between ranks of one host the bytes then go through
// shared memory, between hosts through TCP. Not encrypted, not authenticated: it serves at MASTER_ADDR's address only,
// so 127.0.0.1 keeps it on this machine.
#pragma once

#include "comm/rendezvous.h"
#include "comm/socket.h"

namespace shardlora {

// What a launcher says of one rank.
struct TcpRank {
  int rank = 0, size = 1;
  int local_rank = -1, local_size = -1;  // -1: not said
  std::string address;
  int port = 0;
};

// From RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT; an Error where one is missing or
// makes no sense.
TcpRank tcp_rank_of_environment();

class TcpRendezvous final : public Rendezvous {
 public:
  // Collective. `version`: of the program; ranks of different ones refuse to work together.
  TcpRendezvous(const TcpRank& launched, const std::string& version,
                std::chrono::milliseconds patience = std::chrono::seconds(120));
  ~TcpRendezvous() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  std::vector<std::string> exchange(const std::string& mine) override;
  std::unique_ptr<Transport> make_transport() override;
  // Others see it at their next exchange; whoever started them ends their processes.
  void abort(int exit_code) noexcept override;

  // As make_transport, but always through TCP.
  std::unique_ptr<Transport> make_tcp_transport();

 private:
  void serve(const TcpRank& launched, Deadline deadline, const std::string& version);
  void come(const TcpRank& launched, Deadline deadline, const std::string& version);
  void find_neighbours(const TcpRank& launched);
  std::string receive_from(int peer);
  [[noreturn]] void tell_and_stop(int culprit);

  const int rank_, size_;
  int local_rank_ = 0, local_size_ = 1;
  bool one_host_ = false;
  std::string address_;          // of this rank, as the others reach it
  std::vector<Socket> sockets_;  // by rank on rank 0; elsewhere [0] alone
};

}  // namespace shardlora
