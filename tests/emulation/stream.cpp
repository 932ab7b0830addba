#include "emulation/stream.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "emulation/errors.h"
#include "emulation/settings.h"

namespace emulation {

namespace {

struct Streams {
  std::mutex mutex;
  std::vector<std::shared_ptr<CUstream_st>> open;
  std::uint64_t made = 0;
};

Streams& streams() {
  static auto* all = new Streams;  // a stream's thread may still run when the program ends
  return *all;
}

}  // namespace

void Completion::complete() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
    when_ = std::chrono::steady_clock::now();
  }
  moved_.notify_all();
}

void Completion::wait() {
  std::unique_lock lock(mutex_);
  moved_.wait(lock, [&] { return done_; });
}

bool Completion::done() {
  const std::lock_guard lock(mutex_);
  return done_;
}

std::chrono::steady_clock::time_point Completion::when() {
  const std::lock_guard lock(mutex_);
  return when_;
}

Stream::Stream(int device, int priority, std::uint64_t number)
    : device_(device), priority_(priority), number_(number) {}

Stream* Stream::make(int device, int priority) {
  const std::lock_guard lock(streams().mutex);
  auto made = std::make_shared<CUstream_st>(device, priority, ++streams().made);
  streams().open.push_back(made);
  std::thread([made] { made->serve(); }).detach();
  return made.get();
}

bool Stream::known(cudaStream_t stream) {
  const std::lock_guard lock(streams().mutex);
  return std::ranges::any_of(streams().open, [&](const auto& each) { return each.get() == stream; });
}

// Returns at once; what was submitted still runs. Forgotten before it is closed: who waits for the device must not ask
// a stream that will run nothing more. Its thread keeps it until then.
void Stream::destroy(Stream* stream) {
  std::shared_ptr<CUstream_st> closing;
  {
    const std::lock_guard lock(streams().mutex);
    auto& open = streams().open;
    const auto found = std::ranges::find_if(open, [&](const auto& each) { return each.get() == stream; });
    if (found == open.end()) return;
    closing = std::move(*found);
    open.erase(found);
  }
  closing->close();
}

void Stream::wait_for_device(int device) {
  std::vector<std::shared_ptr<Completion>> last;
  {
    const std::lock_guard lock(streams().mutex);
    for (const auto& each : streams().open)
      if (each->device() == device) last.push_back(each->record());
  }
  for (const auto& each : last) each->wait();
}

void Stream::submit(std::function<void()> work, bool always) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({std::move(work), always, false});
  }
  arrived_.notify_one();
}

void Stream::launch(std::function<void()> work) {
  {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return launched_ < settings().queue; });
    ++launched_;
    queue_.push_back({std::move(work), false, true});
  }
  arrived_.notify_one();
}

std::shared_ptr<Completion> Stream::record() {
  auto completion = std::make_shared<Completion>();
  submit([completion] { completion->complete(); }, true);
  return completion;
}

void Stream::dawdle(unsigned microseconds) {
  const std::lock_guard lock(mutex_);
  dawdle_ = microseconds;
}

bool Stream::idle() {
  const std::lock_guard lock(mutex_);
  return queue_.empty() && !busy_;
}

void Stream::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  arrived_.notify_one();
}

// One piece of work in eight waits up to the longest pause: order and length follow from (seed, stream, ticket).
void Stream::pause(std::uint64_t ticket) const {
  const std::uint64_t random = mixed(seed(), number_, ticket);
  unsigned length = dawdle_;
  if (settings().longest_pause > 0 && (random >> 32) % 8 == 0)
    length += static_cast<unsigned>(random & 0xFFFFFFFFU) % settings().longest_pause;
  if (length > 0) std::this_thread::sleep_for(std::chrono::microseconds(length));
}

void Stream::serve() {
  for (std::uint64_t ticket = 0;; ++ticket) {
    Item item;
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [&] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      item = std::move(queue_.front());
      queue_.pop_front();
      busy_ = true;
    }
    pause(ticket);
    if (item.always || device_error(device_) == cudaSuccess) item.work();
    const bool launched = item.launched;
    item = {};  // what it held goes before the stream looks idle
    const std::lock_guard lock(mutex_);
    busy_ = false;
    if (!launched) continue;
    --launched_;
    room_.notify_one();
  }
}

}  // namespace emulation
