// What a training step asks of CUDA and NCCL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "emulation/fake_nccl.h"
#include "emulation/runtime.h"
#include "emulation/tiny_run.h"

namespace shardlora {
namespace {

using ::testing::HasSubstr;

const std::vector<const char*> kWaits{"cudaStreamSynchronize", "cudaEventSynchronize", "cudaDeviceSynchronize"};
const std::vector<const char*> kAllocations{"cudaMalloc", "cudaHostAlloc", "cudaFree", "cudaFreeHost"};

TEST(StepOnTheGpu, HasTheHostWaitOnce) {
  EXPECT_EQ(calls_in_a_step(1, kWaits), 1);
  EXPECT_EQ(calls_in_a_step(2, kWaits), 2) << "one of each rank";
}

TEST(StepOnTheGpu, WaitsOnceAndAllocatesNothingWhereTheHostUpdates) {
  const TinyJob job{.micro_batches = 1, .optimizer = {Tier::kPinned}};
  EXPECT_EQ(calls_in_a_step(job, kWaits), 1);
  EXPECT_EQ(calls_in_a_step(job, kAllocations), 0);
  EXPECT_EQ(calls_in_a_step(job, {"cudaLaunchHostFunc"}), 3 * 2 + 5) << "squares and update of a layer, five casts";
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

// Where NCCL is older than 2.26 each GPU runs what is ready first. In a process of its own: the library is loaded once.
TEST(StepOnTheGpuDeathTest, EndsWhereNcclKeepsNoOrder) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto train = [] {
    alarm(60);
    setenv("FAKE_NCCL_VERSION", "22506", 1);
    run({.ranks = 2, .steps = 2});
    std::_Exit(0);
  };
  EXPECT_EXIT(train(), testing::ExitedWithCode(0), "");
}

// Nothing that NCCL did not bring may be trained on, whichever communicator it was; and the cause is told, not that
// another rank stopped for it. (A matcher would run the job once more to explain what it saw.)
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
        std::string told = "nothing";
        try {
          run(job);
        } catch (const Error& error) {
          told = error.what();
        }
        EXPECT_THAT(told, HasSubstr("NCCL")) << function << ", call " << nth << ", code " << code;
      }
  }
  emulation::fail_no_call();
}

}  // namespace
}  // namespace shardlora
