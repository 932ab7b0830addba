// Two communicators may break for one reason; what a person is told is that reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "decorators.h"
#include "golden_job.h"
#include "tiny_job.h"

namespace shardlora {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// Brings everything, and tells that it failed where it is asked.
template <typename Failure>
class FailedCommunicator final : public CommunicatorDecorator {
 public:
  FailedCommunicator(Communicator& inner, std::string why) : CommunicatorDecorator(inner), why_(std::move(why)) {}
  void synchronize(Event event) override {
    if (event.stream == nullptr) throw Failure(why_);
    CommunicatorDecorator::synchronize(event);
  }

 private:
  std::string why_;
};

// A rank's gather was refused, the other rank stopped for it, and this rank hears of that first.
TEST(FailedStep, NamesTheCauseRatherThanWhatFollowedFromIt) {
  GoldenJob job{.steps = 1};
  job.plant = [](Device&, Communicator& gathers, Communicator& reductions) {
    PlantedParts parts;
    parts.gathers = std::make_unique<FailedCommunicator<Error>>(gathers, "the cause");
    parts.reductions = std::make_unique<FailedCommunicator<PeerFailed>>(reductions, "a consequence");
    return parts;
  };
  EXPECT_THAT([&] { run(job); }, ThrowsMessage<Error>(HasSubstr("the cause")));
}

// The disk of one rank fails in the middle of a step: that is what is told, and nobody waits for ever.
TEST(FailedStep, TellsOfTheDiskThatFailed) {
  for (const int broken : {0, 1}) {
    std::atomic<int> left = 20;  // reads that go well: into the second step
    TinyJob job{.ranks = 2, .frozen = {{Tier::kDisk}}, .mode = StreamMode::kQueued};
    job.reads = [&](int rank, std::size_t) {
      if (rank == broken && left-- <= 0) throw Error("the disk failed");
    };
    EXPECT_THAT([&] { run(job); }, ThrowsMessage<Error>(HasSubstr("the disk failed"))) << broken;
    EXPECT_LT(left, 0);
  }
}

}  // namespace
}  // namespace shardlora
