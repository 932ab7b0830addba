#include "emulation/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <string_view>

__thread uint3 threadIdx, blockIdx;
__thread dim3 blockDim, gridDim;

namespace emulation {

namespace {

thread_local Block* running_block = nullptr;

struct KernelEnds {};

bool ran(const std::function<void()>& body) {
  try {
    body();
    return true;
  } catch (const KernelEnds&) {
    return false;
  }
}

std::string place(const std::source_location& where) {
  const std::string_view path = where.file_name();
  return fmt::format("{}:{}", path.substr(path.rfind('/') + 1), where.line());
}

bool same(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::string_view(a.file_name()) == b.file_name());
}

}  // namespace

Block::Block()
    : thread_(kMostThreads),
      copies_(kMostThreads),
      index_(kMostThreads),
      warps_(kMostThreads / kWarpSize),
      ready_(kMostThreads) {}
Block::~Block() = default;

Block* Block::running() { return running_block; }

bool Block::stack_overran(const void* address) const {
  for (const auto& stack : stacks_)
    if (stack->overran(address)) return true;
  return false;
}

std::uint32_t Block::random() {
  random_ = random_ * 6364136223846793005U + 1442695040888963407U;
  return static_cast<std::uint32_t>(random_ >> 33);
}

// Appends the threads first + i with bit i of `mask` (all where count is not a warp's) in a new order.
void Block::make_ready(unsigned first, unsigned count, std::uint32_t mask) {
  unsigned stride = random() % count | 1U;
  while (std::gcd(stride, count) != 1) stride += 2;
  unsigned at = random() % count;
  for (unsigned i = 0; i < count; ++i) {
    if (count > kWarpSize || (mask >> at & 1U) != 0) {
      unsigned slot = first_ready_ + ready_count_++;
      if (slot >= kMostThreads) slot -= kMostThreads;
      ready_[slot] = first + at;
      if (thread_[first + at].state != State::kNew) thread_[first + at].state = State::kReady;
    }
    at += stride;
    while (at >= count) at -= count;
  }
}

void Block::set_current(unsigned thread) {
  current_ = thread;
  threadIdx = index_[thread];
}

Failure Block::run(const std::function<void()>& body, std::uint64_t seed) {
  body_ = &body;
  random_ = seed;
  threads_ = blockDim.x * blockDim.y * blockDim.z;
  ended_ = at_barrier_ = first_ready_ = ready_count_ = 0;
  failure_ = {};
  if (shape_.x != blockDim.x || shape_.y != blockDim.y || shape_.z != blockDim.z) {
    shape_ = blockDim;
    for (unsigned i = 0; i < threads_; ++i)
      index_[i] = {i % shape_.x, i / shape_.x % shape_.y, i / (shape_.x * shape_.y)};
  }
  for (unsigned i = 0; i < threads_; ++i) thread_[i] = {State::kNew, nullptr, {}, nullptr};
  for (auto& warp : warps_) warp.meetings.clear();
  make_ready(0, threads_, 0xFFFFFFFFU);
  running_block = this;
  host_.switch_to(free_stack());
  running_block = nullptr;
  if (failure_.code == cudaSuccess && ended_ != threads_)
    failure_ = {cudaErrorLaunchFailure, "deadlock: no thread can go on:" + states()};
  if (failure_.code != cudaSuccess) restart();
  return failure_;
}

void Block::restart() {
  for (auto& each : copies_) each.clear();
  free_.clear();
  for (auto& stack : stacks_) {
    stack->restart();
    free_.push_back(stack.get());
  }
}

Fiber& Block::free_stack() {
  if (free_.empty()) {
    stacks_.push_back(std::make_unique<Fiber>([](void* block, Fiber& self) { static_cast<Block*>(block)->serve(self); },
                                              this, static_cast<unsigned>(stacks_.size())));
    free_.push_back(stacks_.back().get());
  }
  Fiber& stack = *free_.back();
  free_.pop_back();
  return stack;
}

unsigned Block::take_ready() {
  const unsigned thread = ready_[first_ready_];
  if (++first_ready_ == kMostThreads) first_ready_ = 0;
  --ready_count_;
  return thread;
}

// What every stack does: run threads from start to end, one after the other, and hand over to those that had waited.
void Block::serve(Fiber& self) {
  for (;;) {
    if (ready_count_ == 0) {  // all have ended, or nobody can go on
      free_.push_back(&self);
      self.switch_to(host_);
      continue;
    }
    const unsigned t = take_ready();
    set_current(t);
    if (thread_[t].state == State::kNew) {
      thread_[t].state = State::kReady;
      thread_[t].fiber = &self;
      if (!ran(*body_)) self.switch_to(host_);  // for ever
      copies_[current_].clear();
      thread_[current_].state = State::kEnded;
      ++ended_;
    } else {
      free_.push_back(&self);
      self.switch_to(*thread_[t].fiber);
    }
  }
}

void Block::waits(State state, const char* what, const std::source_location& where) {
  Thread& t = thread_[current_];
  t.state = state;
  t.waits_for = what;
  t.where = where;
}

// Leaves the running thread until somebody makes it ready and its turn comes.
void Block::next() {
  Fiber& self = *thread_[current_].fiber;
  if (ready_count_ == 0) self.switch_to(host_);  // for ever: a deadlock
  if (thread_[ready_[first_ready_]].state == State::kNew) {
    self.switch_to(free_stack());
    return;
  }
  const unsigned t = take_ready();
  set_current(t);
  if (thread_[t].fiber != &self) self.switch_to(*thread_[t].fiber);
}

void Block::barrier(const std::source_location& where) {
  if (at_barrier_ == 0)
    barrier_ = where;
  else if (!same(barrier_, where))
    fail(cudaErrorLaunchFailure, fmt::format("divergent barrier: waits at {}, other threads of the block at {}",
                                             place(where), place(barrier_)));
  waits(State::kAtBarrier, "__syncthreads", where);
  if (++at_barrier_ == threads_) {
    at_barrier_ = 0;
    make_ready(0, threads_, 0xFFFFFFFFU);
  }
  next();
}

void Block::meet_in_warp(const char* what, unsigned mask, const std::source_location& where, void* payload,
                         void (*complete)(Payloads, unsigned)) {
  const unsigned lane = current_ % kWarpSize, first = current_ - lane, lanes = std::min(kWarpSize, threads_ - first);
  const auto breach = [&](const char* text) {
    fail(cudaErrorLaunchFailure, fmt::format("{} at {} with mask {:#x}: {}", what, place(where), mask, text));
  };
  if ((mask >> lane & 1U) == 0) breach("the calling lane is not in the mask");
  if (lanes < kWarpSize && mask >> lanes != 0) breach("the mask has lanes that the block has not");
  Warp& warp = warps_[current_ / kWarpSize];
  Meeting* meeting = nullptr;
  for (Meeting& each : warp.meetings) {
    if (each.mask == mask) meeting = &each;
    if (each.mask != mask && (each.mask & mask) != 0) breach("other lanes of it wait with a different mask");
  }
  if (meeting == nullptr) meeting = &warp.meetings.emplace_back(Meeting{what, mask, 0, where});
  if (!same(meeting->where, where) || meeting->what != what)
    breach(fmt::format("divergent: other lanes wait in {} at {}", meeting->what, place(meeting->where)).c_str());
  warp.payloads[lane] = payload;
  meeting->arrived |= 1U << lane;
  waits(State::kInWarp, what, where);
  if (meeting->arrived == mask) {
    *meeting = warp.meetings.back();
    warp.meetings.pop_back();
    complete(warp.payloads.data(), mask);
    make_ready(first, lanes, mask);
  }
  next();
}

void Block::fail(cudaError_t code, const std::string& text) {
  note(code, text);
  throw KernelEnds{};
}

void Block::note(cudaError_t code, const std::string& text) {
  failure_ = {code, fmt::format("block ({}, {}, {}), thread ({}, {}, {}): {}", blockIdx.x, blockIdx.y, blockIdx.z,
                                threadIdx.x, threadIdx.y, threadIdx.z, text)};
}

void Block::leave() {
  thread_[current_].fiber->switch_to(host_);
  std::abort();  // nobody comes back here
}

// Who waits for what, threads with the same answer together.
std::string Block::states() const {
  const auto state_of = [&](const Thread& t) {
    return t.state == State::kEnded ? std::string("ended")
                                    : fmt::format("wait in {} at {}", t.waits_for, place(t.where));
  };
  std::string text;
  for (unsigned i = 0; i < threads_;) {
    const std::string state = state_of(thread_[i]);
    unsigned end = i + 1;
    while (end < threads_ && state_of(thread_[end]) == state) ++end;
    text += fmt::format("\n  threads {} to {} of block ({}, {}, {}): {}", i, end - 1, blockIdx.x, blockIdx.y,
                        blockIdx.z, state);
    if (text.size() > 2000) return text + "\n  ...";
    i = end;
  }
  return text;
}

void block_barrier(const std::source_location& where) { Block::running()->barrier(where); }

void meet_in_warp(const char* what, unsigned mask, const std::source_location& where, void* payload,
                  void (*complete)(Payloads, unsigned)) {
  Block::running()->meet_in_warp(what, mask, where, payload, complete);
}

unsigned lane() { return Block::running()->thread() % kWarpSize; }

void fail_thread(cudaError_t error, const char* text, const std::source_location* where) {
  Block::running()->fail(error, where == nullptr ? text : fmt::format("{} ({})", text, place(*where)));
}

}  // namespace emulation
