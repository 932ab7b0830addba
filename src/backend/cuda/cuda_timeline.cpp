#include "backend/cuda/cuda_timeline.h"

#include <algorithm>

#include "backend/cuda/cuda_error.h"
#include "base/error.h"

namespace shardlora {

using cuda::check;

namespace {

std::int64_t nanoseconds_between(cudaEvent_t first, cudaEvent_t second) {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, first, second), "asking for the time between two events");
  return static_cast<std::int64_t>(static_cast<double>(milliseconds) * 1e6);
}

}  // namespace

CudaTimeline::~CudaTimeline() {
  for (const Pending& each : pending_) {
    cudaEventDestroy(each.begin);
    if (each.end != nullptr) cudaEventDestroy(each.end);
  }
  for (const cudaEvent_t event : unused_) cudaEventDestroy(event);
  if (start_ != nullptr) cudaEventDestroy(start_);
}

void CudaTimeline::measure(Timing timing) {
  if (timing != Timing::kOff && start_ == nullptr) {
    check(cudaSetDevice(ordinal_), "choosing a GPU");
    check(cudaEventCreateWithFlags(&start_, cudaEventBlockingSync), "making an event");
    check(cudaEventRecord(start_, compute_.native()), "recording an event");
    check(cudaEventSynchronize(start_), "waiting for the GPU");
    start_time_ = nanoseconds_now();
  }
  Timeline::measure(timing);
}

cudaEvent_t CudaTimeline::record(CudaStream& stream) {
  check(cudaSetDevice(ordinal_), "choosing a GPU");
  cudaEvent_t event = nullptr;
  if (unused_.empty()) {
    check(cudaEventCreateWithFlags(&event, cudaEventBlockingSync), "making an event");
  } else {
    event = unused_.back();
    unused_.pop_back();
  }
  check(cudaEventRecord(event, stream.native()), "recording an event");
  return event;
}

void CudaTimeline::mark_begin(Stream& stream, Mark mark) {
  auto* const cuda = dynamic_cast<CudaStream*>(&stream);
  if (cuda == nullptr) return Timeline::mark_begin(stream, mark);
  const std::lock_guard lock(events_mutex_);
  pending_.push_back({mark, record(*cuda)});
}

void CudaTimeline::mark_end(Stream& stream, Mark mark) {
  auto* const cuda = dynamic_cast<CudaStream*>(&stream);
  if (cuda == nullptr) return Timeline::mark_end(stream, mark);
  const std::lock_guard lock(events_mutex_);
  const auto mine = std::find_if(pending_.rbegin(), pending_.rend(), [&](const Pending& p) { return p.mark == mark; });
  CHECK(mine != pending_.rend(), "a span of a GPU ends that never began");
  mine->end = record(*cuda);
}

void CudaTimeline::settle() {
  const std::lock_guard lock(events_mutex_);
  std::deque<Pending> later;
  for (const Pending& each : pending_) {
    const cudaError_t status = each.end == nullptr ? cudaErrorNotReady : cudaEventQuery(each.end);
    if (status == cudaErrorNotReady) {
      later.push_back(each);
      continue;
    }
    check(status, "asking for an event");
    const std::int64_t begin = start_time_ + nanoseconds_between(start_, each.begin);
    began(each.mark, begin);
    ended(each.mark, begin + nanoseconds_between(each.begin, each.end));
    unused_.insert(unused_.end(), {each.begin, each.end});
  }
  pending_ = std::move(later);
}

}  // namespace shardlora
