// What a training step asks of CUDA and NCCL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "emulation/fake_nccl.h"
#include "emulation/runtime.h"
#include "tiny_job.h"

namespace shardlora {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

int calls_in_a_run(const TinyJob& job, const std::vector<const char*>& functions) {
  emulation::fail_no_call();
  run(job);
  int calls = 0;
  for (const char* function : functions) calls += emulation::calls_of(function);
  return calls;
}

// By which a run of four steps has more calls of these than one of three.
int calls_in_a_step(int ranks, const std::vector<const char*>& functions) {
  return calls_in_a_run({.ranks = ranks, .steps = 4}, functions) -
         calls_in_a_run({.ranks = ranks, .steps = 3}, functions);
}

const std::vector<const char*> kWaits{"cudaStreamSynchronize", "cudaEventSynchronize", "cudaDeviceSynchronize"};
const std::vector<const char*> kAllocations{"cudaMalloc", "cudaHostAlloc", "cudaFree", "cudaFreeHost"};

TEST(StepOnTheGpu, HasTheHostWaitOnce) {
  EXPECT_EQ(calls_in_a_step(1, kWaits), 1);
  EXPECT_EQ(calls_in_a_step(2, kWaits), 2) << "one of each rank";
}

TEST(StepOnTheGpu, HasTheHostSleepWhileItWaits) { EXPECT_EQ(calls_in_a_step(1, {"a wait that spins"}), 0); }

// What a thread of ours does before it chose a device, it does on device 0: in the memory of another rank.
TEST(StepOnTheGpu, HasEveryThreadChooseItsDevice) {
  for (const int ranks : {1, 2, 3}) {  // three on two cards: through host memory
    emulation::fail_no_call();
    run({.ranks = ranks, .steps = 2});
    EXPECT_EQ(emulation::calls_without_device(), "") << ranks << " ranks";
  }
}

TEST(StepOnTheGpu, AllocatesNothing) { EXPECT_EQ(calls_in_a_step(2, kAllocations), 0); }

// --- What a step may cost the host, exactly: whoever changes a number has looked at why.

struct Launches {
  int kernels, products;
  bool operator==(const Launches&) const = default;
  Launches operator-(const Launches& o) const { return {kernels - o.kernels, products - o.products}; }
};
void PrintTo(const Launches& l, std::ostream* out) { *out << l.kernels << " kernels, " << l.products << " products"; }

Launches in_a_step(TinyJob job) {
  const auto in_a_run = [&](int steps) {
    job.steps = steps;
    const int kernels = calls_in_a_run(job, {"cudaLaunchKernel"});
    return Launches{kernels, emulation::calls_of("cublasLtMatmul")};
  };
  const Launches two = in_a_run(2);
  return in_a_run(3) - two;
}

// One micro-batch; every linear has an adapter and a 4-bit base.
Launches of_a_layer(Recompute recompute) {
  const Launches three = in_a_step({.layers = 3, .micro_batches = 1, .recompute = recompute});
  return in_a_step({.layers = 4, .micro_batches = 1, .recompute = recompute}) - three;
}

TEST(StepOnTheGpu, LaunchesExactlyThatMuchForALayer) {
  EXPECT_EQ(of_a_layer(Recompute::kYes), (Launches{64, 75})) << "forward, once more, backward, update";
  EXPECT_EQ(of_a_layer(Recompute::kNo), (Launches{50, 56})) << "forward, backward, update";
}

// Of three layers. The last one is visited twice running, so it is decoded once.
TEST(StepOnTheGpu, LaunchesExactlyThatMuch) {
  EXPECT_EQ(in_a_step({.micro_batches = 1}), (Launches{181, 227}));
  EXPECT_EQ(in_a_step({.micro_batches = 2}), (Launches{326, 454}));
}

// Nothing that NCCL did not bring may be trained on, whichever communicator it was.
TEST(StepOnTheGpu, FailsWhereAnNcclCallFails) {
  constexpr int kInternalError = 3;
  const TinyJob job{.ranks = 2};
  for (const char* function : {"ncclAllGather", "ncclSend"}) {
    const int calls = calls_in_a_run(job, {function});
    ASSERT_GT(calls, 8) << function;
    for (const int nth : {calls / 2, calls - 4})
      for (const int code : {kInternalError, fake_nccl::kFailLater}) {
        emulation::fail_no_call();
        emulation::fail_call(function, nth, code);
        EXPECT_THAT([&] { run(job); }, ThrowsMessage<Error>(HasSubstr("NCCL")))
            << function << ", call " << nth << ", code " << code;
      }
  }
  emulation::fail_no_call();
}

}  // namespace
}  // namespace shardlora
