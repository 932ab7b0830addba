#include "comm/thread_rendezvous.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "comm/window_transport.h"

namespace shardlora {

namespace {

// Where the threads meet: rounds in which everybody leaves a string and takes all of them.
struct Meeting {
  explicit Meeting(int ranks) : strings(static_cast<std::size_t>(ranks)) {}

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> strings, all;  // of this round, and of the last complete one
  std::size_t arrived = 0;
  std::uint64_t round = 0;
  int aborted_by = -1;
  std::vector<std::shared_ptr<WindowSegment>> segments;  // of every transport so far, by its number
};

class ThreadRendezvous final : public Rendezvous {
 public:
  ThreadRendezvous(std::shared_ptr<Meeting> meeting, int rank) : meeting_(std::move(meeting)), rank_(rank) {}
  ~ThreadRendezvous() override {
    if (std::uncaught_exceptions() > 0) abort(1);
  }

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(meeting_->strings.size()); }
  int local_rank() const override { return rank(); }
  int local_size() const override { return size(); }

  // A rank can't be a whole round ahead: the next one is complete only when this one comes to it, and `all` stays until
  // then.
  std::vector<std::string> exchange(const std::string& mine) override {
    std::unique_lock lock(meeting_->mutex);
    const std::uint64_t round = meeting_->round;
    meeting_->strings[static_cast<std::size_t>(rank_)] = mine;
    if (++meeting_->arrived == meeting_->strings.size()) {
      meeting_->all = meeting_->strings;
      meeting_->arrived = 0;
      ++meeting_->round;
      meeting_->changed.notify_all();
    }
    meeting_->changed.wait(lock, [&] { return meeting_->round != round || meeting_->aborted_by >= 0; });
    if (meeting_->round == round) throw PeerFailed(stopped(meeting_->aborted_by));
    return meeting_->all;
  }

  std::unique_ptr<Transport> make_transport() override {
    const std::size_t number = transports_++;
    std::shared_ptr<WindowSegment> segment;
    {
      const std::lock_guard lock(meeting_->mutex);
      if (number == meeting_->segments.size()) meeting_->segments.push_back(WindowSegment::for_threads(size()));
      segment = meeting_->segments[number];
    }
    auto transport = std::make_unique<WindowTransport>(std::move(segment), rank_);
    exchange({});  // nobody begins before all are there
    return transport;
  }

  void abort(int) noexcept override {
    const std::lock_guard lock(meeting_->mutex);
    if (meeting_->aborted_by < 0) meeting_->aborted_by = rank_;
    meeting_->changed.notify_all();
    for (const auto& segment : meeting_->segments) WindowTransport::abort(*segment, rank_);
  }

 private:
  const std::shared_ptr<Meeting> meeting_;
  const int rank_;
  std::size_t transports_ = 0;
};

}  // namespace

std::vector<std::unique_ptr<Rendezvous>> make_thread_ranks(int ranks) {
  const auto meeting = std::make_shared<Meeting>(ranks);
  std::vector<std::unique_ptr<Rendezvous>> all;
  for (int r = 0; r < ranks; ++r) all.push_back(std::make_unique<ThreadRendezvous>(meeting, r));
  return all;
}

}  // namespace shardlora
