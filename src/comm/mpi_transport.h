// Collectives as point-to-point messages of the MPI module: one message each way between every two ranks.
#pragma once

#include "comm/mpi_module.h"
#include "comm/transport.h"

namespace shardlora {

class MpiTransport final : public Transport {
 public:
  // Collective.
  explicit MpiTransport(const MpiModule& module) : module_(module), communicator_(module.duplicate()) {}

  int rank() const override { return module_.rank(); }
  int size() const override { return module_.size(); }
  void all_gather(std::byte* out, const std::byte* mine, std::span<const std::size_t> offsets) override;
  void all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                  std::span<const std::size_t> send) override;
  void barrier() override;
  void abort() noexcept override { module_.abort_communicator(communicator_); }
  void check() override;  // of a process that died mpirun itself takes care

 private:
  const MpiModule& module_;
  void* const communicator_;
};

}  // namespace shardlora
