// A stream of the CPU device: a queue of functions that run one after the other, on a thread of its own or at once.
// Failure: the first exception of a stream is kept, its later work is skipped, but every ticket still completes, so
// nobody waits for ever. Whoever waits for an event at or after the failure fails with the same exception, stream after
// stream, until a host thread sees it in `synchronize`. A stream of another device is waited for on this stream's
// thread; that stream has to be there until then, and its `synchronize` must be one for any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "backend/stream.h"

namespace shardlora {

enum class StreamMode : std::uint8_t {
  kInline,   // work runs in `submit`, on the calling thread; `wait` blocks there; what fails is thrown there as well
  kQueued,   // work runs on the stream's own thread; nothing blocks the caller
  kDelayed,  // for tests: as kQueued, and before each piece of work a pause of up to 300 us, so that a missing wait
             // shows
};

// How far a stream has come. Outlives the stream where another one still waits for it.
class StreamProgress {
 public:
  // Tickets complete in order. `error`: what failed at this ticket; only the first one of a stream counts.
  void complete(std::uint64_t ticket, std::exception_ptr error);
  // Blocks until `ticket` is done; throws what failed at it or before it.
  void wait(std::uint64_t ticket);
  // Done, and nothing had failed up to there.
  bool succeeded(std::uint64_t ticket);
  bool failed();
  void throw_failure();  // where something failed

 private:
  std::mutex mutex_;
  std::condition_variable moved_;
  std::uint64_t completed_ = 0, failed_at_ = UINT64_MAX;
  std::exception_ptr error_;
};

class CpuStream final : public Stream {
 public:
  // The pauses of kDelayed follow from (seed, name, ticket) alone.
  CpuStream(std::string name, StreamMode mode, std::uint64_t seed = 0);
  // Runs what was submitted first: what that work touches must still be there.
  ~CpuStream() override;
  CpuStream(const CpuStream&) = delete;
  CpuStream& operator=(const CpuStream&) = delete;

  // Thread-safe but for kInline, where one thread submits.
  void submit(std::function<void()> work) override;

  Event record() override;
  void wait(Event event) override;
  void throw_failure() override { progress_->throw_failure(); }
  void synchronize() override;
  void synchronize(Event event) override;

 private:
  struct Item {
    std::uint64_t ticket;
    std::function<void()> work;
  };
  void serve();
  void run(const Item& item);

  const std::string name_;
  const StreamMode mode_;
  const std::uint64_t seed_;
  const std::shared_ptr<StreamProgress> progress_ = std::make_shared<StreamProgress>();
  std::mutex mutex_;  // guards the three below
  std::condition_variable arrived_;
  std::deque<Item> queue_;
  std::uint64_t submitted_ = 0;
  bool closing_ = false;
  std::thread thread_;  // last: starts when everything else is there
};

}  // namespace shardlora
