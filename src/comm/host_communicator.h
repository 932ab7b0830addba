// A communicator over host memory: a stream with a thread of its own on which blocking calls of a Transport run.
// A failed collective aborts the transport, so that no other rank waits for this one.
#pragma once

#include <memory>
#include <string>

#include "backend/cpu/cpu_stream.h"
#include "backend/device.h"
#include "comm/communicator.h"
#include "comm/transport.h"

namespace shardlora {

class HostCommunicator final : public Communicator {
 public:
  // The device gives the stream (and with it the delays of a test) where its streams are host threads; otherwise this
  // one is, and the transport takes the device's memory (StagedTransport).
  HostCommunicator(std::unique_ptr<Transport> transport, Device& device, const std::string& name);
  // Finishes what was issued; where an exception unwinds, ends it with abort instead.
  ~HostCommunicator() override;

  int rank() const override { return transport_->rank(); }
  int size() const override { return transport_->size(); }
  Event all_gather(std::byte* out, const std::byte* mine, std::size_t share, Event after) override;
  Event all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                   std::span<const std::size_t> send, Event after) override;
  void barrier() override;
  void synchronize(Event event) override { stream_->synchronize(event); }
  void abort() noexcept override { transport_->abort(); }

 private:
  template <typename Collective>
  Event issue(const char* name, Event after, Collective collective);

  const int unwinding_at_start_;
  Timeline& timeline_;
  const std::string name_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<CpuStream> stream_;  // after the transport: drains before that goes
};

}  // namespace shardlora
