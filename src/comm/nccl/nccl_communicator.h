// Collectives between GPUs, in a stream beside the computing one: an event is the GPU's, and nothing is waited for on
// the host but events of host streams. NCCL does not notice that a peer has gone, so a thread watches: NCCL's errors,
// and through a host transport the other ranks. When one stopped or died, or a collective fails, it ends what is under
// way on the GPU, so that nothing there waits for ever, and from then on every wait of this communicator throws the
// reason. A rank alone needs no NCCL: its collectives are copies.
// Communicators of one GPU: their collectives start in the order in which they are issued, which has to be the same on
// every rank across all of them. From 2.26 on NCCL sees to it (nccl_table.cpp asks for it), before they share a stream.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "backend/cuda/cuda_stream.h"
#include "backend/device.h"
#include "comm/communicator.h"
#include "comm/nccl/nccl_comm.h"

namespace shardlora {

class NcclCommunicator final : public Communicator {
 public:
  // Collective. The streams of `device` are CudaStreams.
  NcclCommunicator(Rendezvous& rendezvous, Device& device, const std::string& name, const NcclLimits& limits = {});
  // Finishes what was issued; where an exception unwinds, ends it.
  ~NcclCommunicator() override;

  int rank() const override { return peers_->rank(); }
  int size() const override { return peers_->size(); }
  Event all_gather(std::byte* out, const std::byte* mine, std::size_t share, Event after) override;
  Event all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                   std::span<const std::size_t> send, Event after) override;
  void barrier() override;
  void synchronize(Event event) override;
  void abort() noexcept override { peers_->abort(); }  // the watching thread sees it, here and elsewhere

 private:
  template <typename Own, typename Collective>
  Event issue(const char* name, Event after, Own own, Collective collective);
  void copy(std::byte* to, const std::byte* from, std::size_t bytes);
  void watch();
  // The first failure counts. Whoever calls it has to see to it that the other ranks learn of it.
  void fail_with(std::exception_ptr why) noexcept;
  void throw_failure();

  const int unwinding_at_start_;
  Device& device_;
  const std::string name_;
  const std::unique_ptr<Transport> peers_;
  std::shared_ptr<CudaStream> stream_;
  std::unique_ptr<NcclComm> comm_;  // null for a rank alone

  std::mutex calls_;  // held around calls of NCCL: by the caller, and by the watching thread
  bool ended_ = false;
  bool stuck_ = false;  // the GPU's work did not end
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
  std::atomic<bool> failed_{false}, closing_{false};
  std::thread watcher_;
};

}  // namespace shardlora
