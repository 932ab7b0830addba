#include "backend/cpu/cpu_stream.h"

#include <pthread.h>

#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/philox.h"

namespace shardlora {

namespace {

constexpr float kLongestPause = 300;  // microseconds

std::chrono::microseconds pause_before(const std::string& name, std::uint64_t seed, std::uint64_t ticket) {
  const std::uint64_t hash = std::hash<std::string>{}(name);
  const PhiloxKey key{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  const PhiloxCounter counter{static_cast<std::uint32_t>(hash), static_cast<std::uint32_t>(hash >> 32),
                              static_cast<std::uint32_t>(ticket), static_cast<std::uint32_t>(ticket >> 32)};
  return std::chrono::microseconds(static_cast<int>(kLongestPause * uniform(philox(key, counter).v[0])));
}

}  // namespace

void StreamProgress::complete(std::uint64_t ticket, std::exception_ptr error) {
  {
    const std::lock_guard lock(mutex_);
    completed_ = ticket;
    if (error && !error_) {
      error_ = std::move(error);
      failed_at_ = ticket;
    }
  }
  moved_.notify_all();
}

void StreamProgress::wait(std::uint64_t ticket) {
  std::unique_lock lock(mutex_);
  moved_.wait(lock, [&] { return completed_ >= ticket; });
  if (failed_at_ <= ticket) std::rethrow_exception(error_);
}

bool StreamProgress::succeeded(std::uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  return completed_ >= ticket && failed_at_ > ticket;
}

bool StreamProgress::failed() {
  const std::lock_guard lock(mutex_);
  return error_ != nullptr;
}

void StreamProgress::throw_failure() {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

CpuStream::CpuStream(std::string name, StreamMode mode, std::uint64_t seed)
    : name_(std::move(name)), mode_(mode), seed_(seed) {
  if (mode_ != StreamMode::kInline) thread_ = std::thread([this] { serve(); });
}

CpuStream::~CpuStream() {
  if (mode_ == StreamMode::kInline) return;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  arrived_.notify_one();
  thread_.join();
}

void CpuStream::serve() {
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());  // the kernel keeps 15 characters
  for (;;) {
    Item item;
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [&] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      item = std::move(queue_.front());
      queue_.pop_front();
    }
    if (mode_ == StreamMode::kDelayed) std::this_thread::sleep_for(pause_before(name_, seed_, item.ticket));
    run(item);
  }
}

void CpuStream::run(const Item& item) {
  std::exception_ptr error;
  if (!progress_->failed()) {
    try {
      item.work();
    } catch (...) {
      error = std::current_exception();
    }
  }
  progress_->complete(item.ticket, error);
  if (error && mode_ == StreamMode::kInline) std::rethrow_exception(error);
}

void CpuStream::submit(std::function<void()> work) {
  if (mode_ == StreamMode::kInline) {
    std::uint64_t ticket;
    {
      const std::lock_guard lock(mutex_);
      ticket = ++submitted_;
    }
    run({ticket, std::move(work)});
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({++submitted_, std::move(work)});
  }
  arrived_.notify_one();
}

Event CpuStream::record() {
  const std::lock_guard lock(mutex_);
  return {this, submitted_};
}

void CpuStream::wait(Event event) {
  if (event.stream == nullptr || event.stream == this)
    return;  // what is in front of us in our own queue is done anyway
  const auto* const cpu = dynamic_cast<CpuStream*>(event.stream);
  if (cpu == nullptr) return submit([event] { event.stream->synchronize(event); });
  const auto other = cpu->progress_;
  if (other->succeeded(event.ticket)) return;
  submit([other, ticket = event.ticket] { other->wait(ticket); });
}

void CpuStream::synchronize() { synchronize(record()); }

void CpuStream::synchronize(Event event) {
  if (event.stream == nullptr) return;
  CHECK(event.stream == this, "an event of another stream is synchronized on stream {}", name_);
  progress_->wait(event.ticket);
}

}  // namespace shardlora
