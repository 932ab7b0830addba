// Ranks that an MPI launcher started. MPI makes them known to each other; between ranks of one host the bytes then go
// through shared memory, which is up to ten times faster, and only a job over several hosts moves them by MPI.
#pragma once

#include "comm/mpi_module.h"
#include "comm/rendezvous.h"
#include "comm/transport.h"

namespace shardlora {

class MpiRendezvous final : public Rendezvous {
 public:
  // Loads the module from beside the program or ../lib and starts MPI; an Error says what is missing.
  // launched: how many ranks the launcher says there are; 0 if it does not.
  explicit MpiRendezvous(int launched);
  // Ends MPI, which waits for all ranks; not where `abort` was called or an exception unwinds.
  ~MpiRendezvous() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  std::vector<std::string> exchange(const std::string& mine) override;
  std::unique_ptr<Transport> make_transport() override;
  void abort(int exit_code) noexcept override;

  // As make_transport, but always through MPI.
  std::unique_ptr<Transport> make_mpi_transport();

 private:
  const MpiModule* module_ = nullptr;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  bool aborted_ = false;
  std::unique_ptr<Transport> world_;  // for exchange
};

}  // namespace shardlora
