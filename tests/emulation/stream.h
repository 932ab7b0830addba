// Streams as real asynchronous queues: a thread each, which runs one piece of work after the other and dawdles before
// some of them, so that a missing wait shows. An error of a kernel stays with its device: later work is skipped, but
// everything completes, so nobody waits for ever.
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace emulation {

// Something that happens once.
class Completion {
 public:
  void complete();
  void wait();
  bool done();
  std::chrono::steady_clock::time_point when();  // it was done

 private:
  std::mutex mutex_;
  std::condition_variable moved_;
  bool done_ = false;
  std::chrono::steady_clock::time_point when_;
};

class Stream {
 public:
  Stream(int device, int priority, std::uint64_t number);

  int device() const { return device_; }
  int priority() const { return priority_; }  // told, not kept: no stream goes before another here
  std::uint64_t number() const { return number_; }
  // `always`: also where the device has failed (what others wait for).
  void submit(std::function<void()> work, bool always = false);
  // A kernel or a copy. The host waits here while as many as the launch queue holds are under way.
  void launch(std::function<void()> work);
  std::shared_ptr<Completion> record();
  void dawdle(unsigned microseconds);  // before every piece of work from now on
  bool idle();
  void close();

  // The streams that were not destroyed.
  static Stream* make(int device, int priority = 0);
  static bool known(cudaStream_t stream);
  static void destroy(Stream* stream);
  static void wait_for_device(int device);

 private:
  struct Item {
    std::function<void()> work;
    bool always, launched;
  };
  void serve();
  void pause(std::uint64_t ticket) const;

  const int device_, priority_;
  const std::uint64_t number_;
  std::mutex mutex_;
  std::condition_variable arrived_, room_;
  std::deque<Item> queue_;
  std::size_t launched_ = 0;  // and not done
  bool closing_ = false, busy_ = false;
  unsigned dawdle_ = 0;
};

}  // namespace emulation

struct CUstream_st : emulation::Stream {
  using Stream::Stream;
};

struct CUevent_st {
  int device = 0;
  unsigned flags = 0;
  std::mutex mutex;
  std::shared_ptr<emulation::Completion> last;  // of the newest record; null: never recorded, nothing to wait for
};
