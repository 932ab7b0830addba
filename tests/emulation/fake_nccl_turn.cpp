#include "emulation/fake_nccl_turn.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <list>
#include <map>
#include <mutex>

#include "emulation/runtime.h"

namespace fake_nccl {

namespace {

using std::chrono::microseconds;
using std::chrono::steady_clock;

constexpr microseconds kPatience(100000);  // of a GPU that waits for a later collective to become ready

}  // namespace

struct Turn::Gpu {
  std::mutex mutex;
  std::condition_variable moved;
  std::list<const Turn*> issued;  // and not done, in the host's order
  const Turn* running = nullptr;
};

int version() {
  const char* const pretended = std::getenv("FAKE_NCCL_VERSION");
  return pretended != nullptr ? std::atoi(pretended) : 22809;
}

bool keeps_host_order() {
  static const bool asked = [] {
    const char* const text = std::getenv("NCCL_LAUNCH_ORDER_IMPLICIT");
    return text != nullptr && std::atoi(text) == 1 && version() >= 22600;
  }();
  return asked;
}

Turn::Gpu& Turn::gpu(int number) {
  static std::mutex mutex;
  static auto* all = new std::map<int, Gpu>;  // a stream's thread may still run when the program ends
  const std::lock_guard lock(mutex);
  return (*all)[number];
}

Turn::Turn(cudaStream_t stream)
    : stream_(stream), number_(emulation::device_of(stream)), gpu_(gpu(emulation::device_of(stream))) {
  const std::lock_guard lock(gpu_.mutex);
  gpu_.issued.push_back(this);
}

Turn::~Turn() {
  {
    const std::lock_guard lock(gpu_.mutex);
    gpu_.issued.remove(this);
    if (gpu_.running == this) gpu_.running = nullptr;
  }
  gpu_.moved.notify_all();
}

bool Turn::is_next() const {
  if (gpu_.running != nullptr) return false;
  if (keeps_host_order()) return gpu_.issued.front() == this;
  if (number_ % 2 == 0) return true;
  const auto mine = std::ranges::find(gpu_.issued, this);
  const bool patient = steady_clock::now() - since_ < kPatience;
  return std::none_of(std::next(mine), gpu_.issued.end(),
                      [&](const Turn* later) { return later->stream_ != stream_ && (later->ready_ || patient); });
}

void Turn::wait(const std::atomic<bool>& given_up) {
  std::unique_lock lock(gpu_.mutex);
  ready_ = true;
  since_ = steady_clock::now();
  while (!is_next() && !given_up) gpu_.moved.wait_for(lock, microseconds(100));
  if (!given_up) gpu_.running = this;
}

}  // namespace fake_nccl
