#include "comm/nccl/nccl_communicator.h"

#include <chrono>
#include <map>
#include <utility>

#include "base/error.h"

namespace shardlora {

namespace {

constexpr std::chrono::milliseconds kLook(10);  // between two looks at the peers

std::shared_ptr<CudaStream> cuda_stream(Device& device, const std::string& name) {
  auto stream = std::dynamic_pointer_cast<CudaStream>(std::shared_ptr<Stream>(device.make_stream(name)));
  CHECK(stream != nullptr, "communicator {}: the streams of this device are not a GPU's", name);
  return stream;
}

// A stream for a communicator of several ranks. Where NCCL does not keep the host's order among communicators, those of
// a device share one: it has their collectives run one after the other, as they were issued, which is the same order on
// every rank.
std::shared_ptr<CudaStream> stream_of_ranks(Device& device, const std::string& name) {
  if (nccl::table().orders_launches) return cuda_stream(device, name);
  static std::mutex mutex;
  static std::map<const Device*, std::weak_ptr<CudaStream>> shared;
  const std::lock_guard lock(mutex);
  std::shared_ptr<CudaStream> stream = shared[&device].lock();
  if (!stream) shared[&device] = stream = cuda_stream(device, name);
  return stream;
}

}  // namespace

NcclCommunicator::NcclCommunicator(Rendezvous& rendezvous, Device& device, const std::string& name,
                                   const NcclLimits& limits)
    : unwinding_at_start_(std::uncaught_exceptions()),
      device_(device),
      name_(name),
      peers_(rendezvous.make_transport()) {
  if (size() == 1) {
    stream_ = cuda_stream(device, name);
    return;
  }
  try {
    stream_ = stream_of_ranks(device, name);
    comm_ = std::make_unique<NcclComm>(rendezvous, *peers_, limits);
  } catch (const PeerFailed&) {
    throw;
  } catch (...) {
    peers_->abort();
    throw;
  }
  watcher_ = std::thread([this] { watch(); });
}

NcclCommunicator::~NcclCommunicator() {
  if (std::uncaught_exceptions() > unwinding_at_start_) {
    abort();
    fail_with(std::make_exception_ptr(PeerFailed(stopped(rank()))));
  }
  if (!comm_) return;
  try {
    const Event last = failed_ ? Event{} : stream_->record();
    while (!failed_ && !stream_->done(last)) std::this_thread::sleep_for(std::chrono::microseconds(200));
  } catch (...) {  // the GPU failed: whoever waits for it says so
  }
  closing_ = true;
  watcher_.join();
  if (!ended_) stuck_ = !comm_->end(!failed_);
  if (stuck_) new std::shared_ptr(stream_);  // NOLINT: kept for ever, since its destructor would wait for its work
}

void NcclCommunicator::watch() {
  while (!closing_) {
    std::this_thread::sleep_for(kLook);
    try {
      peers_->check();
      const std::lock_guard lock(calls_);
      if (failed_) throw PeerFailed(stopped(rank()));  // the caller has failed and told everybody
      comm_->check();
    } catch (const std::exception& error) {
      // Before the GPU goes on, since what comes out of it now is nobody's data; and before the others hear of it,
      // since they may end another communicator of this rank, which then asks this one for the cause.
      fail_with(std::current_exception());
      if (dynamic_cast<const PeerFailed*>(&error) == nullptr) peers_->abort();
      const std::lock_guard lock(calls_);
      ended_ = true;
      stuck_ = !comm_->end(false);
      return;
    }
  }
}

void NcclCommunicator::fail_with(std::exception_ptr why) noexcept {
  const std::lock_guard lock(failure_mutex_);
  if (!failure_) failure_ = std::move(why);
  failed_ = true;
}

void NcclCommunicator::throw_failure() {
  if (!failed_) return;
  const std::lock_guard lock(failure_mutex_);
  std::rethrow_exception(failure_);
}

// `own`: what of it is no call of NCCL. Like the rest of what is outside of the lock, it may be blocked by a full
// launch queue until the collective of a dead peer is ended: by the watcher, which needs `calls_` for that. What goes
// wrong here is told by `synchronize`, as what goes wrong later is.
template <typename Own, typename Collective>
Event NcclCommunicator::issue(const char* name, Event after, Own own, Collective collective) {
  if (failed_) return {};
  try {
    stream_->wait(after);
    const Timeline::Mark mark = device_.timeline().begin(*stream_, name_, name);
    own();
    {
      const std::lock_guard lock(calls_);
      if (failed_) return {};
      collective();
    }
    device_.timeline().end(*stream_, mark);
    return stream_->record();
  } catch (const PeerFailed&) {
    fail_with(std::current_exception());
  } catch (...) {
    fail_with(std::current_exception());
    peers_->abort();
  }
  return {};
}

void NcclCommunicator::copy(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (bytes != 0 && to != from) device_.copy(to, from, bytes, *stream_);
}

Event NcclCommunicator::all_gather(std::byte* out, const std::byte* mine, std::size_t share, Event after) {
  const auto own = [&] {
    if (!comm_) copy(out, mine, share);  // else NCCL copies it
  };
  return issue("all_gather", after, own, [&] {
    if (!comm_ || share == 0) return;
    comm_->run("all_gather", [&](NcclComm::Group& group) {
      group.add(comm_->nccl().all_gather(mine, out, share, nccl::kUint8, comm_->native(), stream_->native()));
    });
  });
}

Event NcclCommunicator::all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                                   std::span<const std::size_t> send, Event after) {
  const auto ranks = static_cast<std::size_t>(size()), me = static_cast<std::size_t>(rank());
  CHECK(receive.size() == ranks + 1 && send.size() == ranks + 1, "{} and {} offsets for {} ranks", receive.size(),
        send.size(), ranks);
  const auto own = [&] { copy(out + receive[me], in + send[me], send[me + 1] - send[me]); };
  return issue("all_to_all", after, own, [&] {
    if (!comm_) return;
    comm_->run("all_to_all", [&](NcclComm::Group& group) {
      const nccl::Table& nccl = comm_->nccl();
      for (std::size_t k = 1; k < ranks; ++k) {
        const std::size_t to = (me + k) % ranks, from = (me + ranks - k) % ranks;
        if (const std::size_t bytes = send[to + 1] - send[to]; bytes > 0)
          group.add(
              nccl.send(in + send[to], bytes, nccl::kUint8, static_cast<int>(to), comm_->native(), stream_->native()));
        if (const std::size_t bytes = receive[from + 1] - receive[from]; bytes > 0)
          group.add(nccl.receive(out + receive[from], bytes, nccl::kUint8, static_cast<int>(from), comm_->native(),
                                 stream_->native()));
      }
    });
  });
}

void NcclCommunicator::barrier() {
  throw_failure();
  synchronize(stream_->record());
  peers_->barrier();
}

void NcclCommunicator::synchronize(Event event) {
  throw_failure();
  if (event.stream == nullptr) return;
  CHECK(event.stream == stream_.get(), "an event of another stream is synchronized on a communicator");
  if (!comm_) return stream_->synchronize(event);
  for (int turn = 0; !stream_->done(event); ++turn) {
    throw_failure();
    if (turn > 100) std::this_thread::sleep_for(std::chrono::microseconds(turn < 1000 ? 20 : 200));
  }
  throw_failure();  // it may have been done because it was ended
}

}  // namespace shardlora
