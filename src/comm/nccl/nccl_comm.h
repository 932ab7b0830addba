// NCCL's own communicator, held so that nobody waits for ever: it never blocks, progress is asked for, and what may
// hang all the same (its end) is given a bounded time. A failure is an Error that says what to do, or PeerFailed where
// a peer turns out to be the cause.
#pragma once

#include <chrono>
#include <functional>

#include "comm/nccl/nccl_table.h"
#include "comm/rendezvous.h"
#include "comm/transport.h"

namespace shardlora {

struct NcclLimits {
  std::chrono::milliseconds start{300'000};  // for the ranks to connect, and for a collective to be on its stream
  std::chrono::milliseconds ending{10'000};  // for the end, orderly or not
};

class NcclComm {
 public:
  // Collective. `peers` knows whether the other ranks are still there. Both outlive this.
  NcclComm(Rendezvous& rendezvous, Transport& peers, const NcclLimits& limits);
  ~NcclComm() { end(false); }
  NcclComm(const NcclComm&) = delete;
  NcclComm& operator=(const NcclComm&) = delete;

  const nccl::Table& nccl() const { return nccl_; }
  nccl::Comm* native() const { return comm_; }

  // What `issue` calls through add() goes to the GPU as one operation, which is on its stream when this returns.
  class Group {
   public:
    void add(nccl::Result result) {
      if (worst_ == nccl::kSuccess && result != nccl::kInProgress) worst_ = result;
    }

   private:
    friend class NcclComm;
    nccl::Result worst_ = nccl::kSuccess;
  };
  template <typename Issue>
  void run(const char* what, Issue issue) {
    settle(nccl_.group_start(), what);
    Group group;
    issue(group);
    const nccl::Result ended = nccl_.group_end();  // always: a group that stays open would swallow the next one
    settle(group.worst_ == nccl::kSuccess ? ended : group.worst_, what);
  }
  // Throws what went wrong since the last look.
  void check();
  // After it nothing may be called. orderly: what was issued has been done; otherwise it is ended on the GPU. False
  // where NCCL did not return in time: then the GPU's work may never end.
  bool end(bool orderly) noexcept;

 private:
  void settle(nccl::Result result, const char* what);
  [[noreturn]] void failed(nccl::Result result, const char* what);

  const nccl::Table& nccl_;
  Transport& peers_;
  const NcclLimits limits_;
  nccl::Comm* comm_ = nullptr;
  int ordinal_ = 0;  // of the GPU that the constructing thread had chosen
};

}  // namespace shardlora
