// Bugs planted into the traffic of what does not rest on the device: what comes too early or goes too late has to show
// in the bits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "decorators.h"
#include "sanitized.h"
#include "tiny_job.h"

namespace shardlora {
namespace {

enum class Missing {
  kWaitOfCompute,  // for the traffic: what it brings is used before it is there
  kWaitOfTraffic,  // for compute: memory is filled before it is free, or read before it is full
};

// The traffic's stream, which waits for nobody, or which compute does not wait for.
class PlantedStream final : public StreamDecorator {
 public:
  PlantedStream(std::unique_ptr<Stream> inner, Missing missing, DeafStream& compute)
      : StreamDecorator(*inner), inner_(std::move(inner)), missing_(missing), compute_(compute) {
    if (missing == Missing::kWaitOfCompute) compute_.be_deaf_to(inner_.get());
  }
  ~PlantedStream() override { compute_.be_deaf_to(nullptr); }
  void wait(Event event) override {
    if (missing_ == Missing::kWaitOfCompute) StreamDecorator::wait(event);
  }
  void submit(std::function<void()> work) override { late().submit(std::move(work)); }
  // Where traffic is not waited for it takes its time; compute, which dawdles too, would not be there before it.
  Stream& late() {
    if (missing_ == Missing::kWaitOfCompute)
      inner_->submit([] { std::this_thread::sleep_for(std::chrono::milliseconds(100)); });
    return *inner_;
  }

 private:
  std::unique_ptr<Stream> inner_;
  Missing missing_;
  DeafStream& compute_;
};

// A device whose stream `name` and compute are out of step.
class OutOfStep final : public DeviceDecorator {
 public:
  OutOfStep(Device& inner, std::string name, Missing missing)
      : DeviceDecorator(inner, std::make_unique<DeafStream>(inner.compute()), nullptr),
        name_(std::move(name)),
        missing_(missing) {}
  std::unique_ptr<Stream> make_stream(const std::string& name) override {
    std::unique_ptr<Stream> stream = DeviceDecorator::make_stream(name);
    if (name != name_) return stream;
    auto planted = std::make_unique<PlantedStream>(std::move(stream), missing_, static_cast<DeafStream&>(compute()));
    planted_ = planted.get();
    return planted;
  }
  void copy(std::byte* to, const std::byte* from, std::size_t bytes, Stream& stream) override {
    DeviceDecorator::copy(to, from, bytes, &stream == planted_ ? planted_->late() : stream);
  }

 private:
  std::string name_;
  Missing missing_;
  PlantedStream* planted_ = nullptr;
};

TinyJob dawdling(Tier base, Tier layer_inputs) {
  return {.frozen = {{base}}, .layer_inputs = layer_inputs, .mode = StreamMode::kDelayed};
}

TinyJob out_of_step(TinyJob job, const std::string& stream, Missing missing) {
  // Without prefetching nothing is ahead of its use, so every wait for it matters. Of two ranks compute would wait for
  // the gather; what is filled too early shows behind it too.
  if (missing == Missing::kWaitOfCompute)
    job.prefetch = Prefetch::kNo;
  else
    job.ranks = 2;
  job.plant = [=](Device& device) { return std::make_unique<OutOfStep>(device, stream, missing); };
  return job;
}

class PlantedTraffic : public testing::Test {
 protected:
  void SetUp() override {
    if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer stops at the planted race itself";
  }
  // Some delays hide the bug: it has to show under one of them.
  static bool shows(TinyJob job) {
    static const TinyResult right = run(TinyJob{});
    for (job.seed = 1; job.seed <= 3; ++job.seed) try {
        if (!(run(job) == right)) return true;
      } catch (const Diverged&) {  // what was not there reads as NaN
        return true;
      }
    return false;
  }
};

TEST_F(PlantedTraffic, WithoutABugTheDawdlingRunsAreRight) {
  EXPECT_FALSE(shows(dawdling(Tier::kPinned, Tier::kPinned)));
  EXPECT_FALSE(shows(dawdling(Tier::kDisk, Tier::kDevice)));
}

TEST_F(PlantedTraffic, AMissingWaitForAnUploadShows) {
  EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kPinned, Tier::kDevice), "uploads", Missing::kWaitOfCompute)));
}

TEST_F(PlantedTraffic, AMissingWaitForAReadShows) {
  EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kDisk, Tier::kDevice), "reads", Missing::kWaitOfCompute)));
}

TEST_F(PlantedTraffic, ASlotThatIsFilledTooEarlyShows) {
  EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kPinned, Tier::kDevice), "uploads", Missing::kWaitOfTraffic)));
  EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kDisk, Tier::kDevice), "reads", Missing::kWaitOfTraffic)));
}

TEST_F(PlantedTraffic, LayerInputsThatComeTooLateOrGoTooEarlyShow) {
  for (const Missing missing : {Missing::kWaitOfCompute, Missing::kWaitOfTraffic})
    EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kDevice, Tier::kPinned), "layer inputs", missing)));
}

}  // namespace
}  // namespace shardlora
