#include "comm/host_communicator.h"

#include <exception>
#include <utility>
#include <vector>

#include "base/error.h"

namespace shardlora {

namespace {

std::unique_ptr<CpuStream> host_stream(Device& device, const std::string& name) {
  std::unique_ptr<Stream> stream = device.make_stream(name);
  auto* const host = dynamic_cast<CpuStream*>(stream.get());
  if (host == nullptr) return std::make_unique<CpuStream>(name, StreamMode::kQueued);
  stream.release();
  return std::unique_ptr<CpuStream>(host);
}

std::vector<std::size_t> copied(std::span<const std::size_t> offsets, int ranks) {
  CHECK(offsets.size() == static_cast<std::size_t>(ranks) + 1, "{} offsets for {} ranks", offsets.size(), ranks);
  return {offsets.begin(), offsets.end()};
}

}  // namespace

HostCommunicator::HostCommunicator(std::unique_ptr<Transport> transport, Device& device, const std::string& name)
    : unwinding_at_start_(std::uncaught_exceptions()),
      timeline_(device.timeline()),
      name_(name),
      transport_(std::move(transport)),
      stream_(host_stream(device, name)) {}

HostCommunicator::~HostCommunicator() {
  if (std::uncaught_exceptions() > unwinding_at_start_) transport_->abort();
}

template <typename Collective>
Event HostCommunicator::issue(const char* name, Event after, Collective collective) {
  stream_->wait(after);
  const Timeline::Mark mark = timeline_.begin(*stream_, name_, name);
  stream_->submit([transport = transport_.get(), collective = std::move(collective)] {
    try {
      collective(*transport);
    } catch (const PeerFailed&) {
      throw;  // whoever stopped has told everybody
    } catch (...) {
      transport->abort();
      throw;
    }
  });
  timeline_.end(*stream_, mark);
  return stream_->record();
}

Event HostCommunicator::all_gather(std::byte* out, const std::byte* mine, std::size_t share, Event after) {
  std::vector<std::size_t> offsets;
  for (int r = 0; r <= size(); ++r) offsets.push_back(static_cast<std::size_t>(r) * share);
  return issue("all_gather", after,
               [out, mine, offsets = std::move(offsets)](Transport& t) { t.all_gather(out, mine, offsets); });
}

Event HostCommunicator::all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                                   std::span<const std::size_t> send, Event after) {
  return issue("all_to_all", after,
               [out, in, receive = copied(receive, size()), send = copied(send, size())](Transport& t) {
                 t.all_to_all(out, receive, in, send);
               });
}

void HostCommunicator::barrier() {
  synchronize(issue("barrier", {}, [](Transport& t) { t.barrier(); }));
}

}  // namespace shardlora
