// Two communicators may break for one reason; what a person is told is that reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "decorators.h"
#include "golden_job.h"

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

}  // namespace
}  // namespace shardlora
