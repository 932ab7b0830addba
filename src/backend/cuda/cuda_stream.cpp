#include "backend/cuda/cuda_stream.h"

#include <memory>
#include <utility>

#include "backend/cuda/cuda_error.h"
#include "base/error.h"

namespace shardlora {

using cuda::check;

namespace {

struct HostWork {
  std::function<void()> work;
  std::shared_ptr<CudaStream::HostFailure> failure;
};

void run_host_work(void* data) {
  const std::unique_ptr<HostWork> mine(static_cast<HostWork*>(data));
  {
    const std::lock_guard lock(mine->failure->mutex);
    if (mine->failure->error) return;
  }
  try {
    mine->work();
  } catch (...) {
    const std::lock_guard lock(mine->failure->mutex);
    mine->failure->error = std::current_exception();
  }
}

}  // namespace

CudaStream::CudaStream(int ordinal, Priority priority) : ordinal_(ordinal) {
  choose();
  int lowest = 0, highest = 0;  // the smaller the number the higher; 0 is the default
  check(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "asking for the priorities of streams");
  check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, priority == Priority::kHigh ? highest : 0),
        "making a stream");
  constexpr unsigned kFlags = cudaEventDisableTiming | cudaEventBlockingSync;
  for (cudaEvent_t& event : events_) check(cudaEventCreateWithFlags(&event, kFlags), "making an event");
  check(cudaEventCreateWithFlags(&drained_, kFlags), "making an event");
}

CudaStream::~CudaStream() {
  cudaSetDevice(ordinal_);
  cudaEventRecord(drained_, stream_);
  cudaEventSynchronize(drained_);
  cudaEventDestroy(drained_);
  for (const cudaEvent_t event : events_) cudaEventDestroy(event);
  cudaStreamDestroy(stream_);
}

void CudaStream::choose() const { check(cudaSetDevice(ordinal_), "choosing a GPU"); }

Event CudaStream::record() {
  choose();
  ++recorded_;
  check(cudaEventRecord(event_of(recorded_), stream_), "recording an event");
  return {this, recorded_};
}

void CudaStream::wait(Event event) {
  if (event.stream == nullptr || event.stream == this) return;
  choose();
  if (const auto* other = dynamic_cast<const CudaStream*>(event.stream))
    check(cudaStreamWaitEvent(stream_, other->event_of(event.ticket), 0), "waiting for an event");
  else
    event.stream->synchronize(event);
}

void CudaStream::submit(std::function<void()> work) {
  choose();
  auto mine = std::make_unique<HostWork>(HostWork{std::move(work), failure_});
  check(cudaLaunchHostFunc(stream_, run_host_work, mine.get()), "having the host work in a stream's order");
  mine.release();  // it is run_host_work's now
}

void CudaStream::throw_failure() {
  const std::lock_guard lock(failure_->mutex);
  if (failure_->error) std::rethrow_exception(failure_->error);
}

void CudaStream::synchronize() {
  choose();
  check(cudaEventRecord(drained_, stream_), "recording an event");
  check(cudaEventSynchronize(drained_), "waiting for the GPU");
  throw_failure();
}

void CudaStream::synchronize(Event event) {
  if (event.stream == nullptr) return;
  CHECK(event.stream == this, "an event of another stream is synchronized");
  choose();
  check(cudaEventSynchronize(event_of(event.ticket)), "waiting for the GPU");
  throw_failure();
}

bool CudaStream::done(Event event) const {
  choose();
  const cudaError_t status = cudaEventQuery(event_of(event.ticket));
  if (status == cudaErrorNotReady) return false;
  check(status, "asking for an event");
  return true;
}

}  // namespace shardlora
