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
  kWaitOfGather,   // for the traffic: a share is sent to the other ranks before it is there
};

// The traffic's stream, which waits for nobody, or which compute or gathers do not wait for.
class PlantedStream final : public StreamDecorator {
 public:
  PlantedStream(std::unique_ptr<Stream> inner, Missing missing, DeafStream& compute)
      : StreamDecorator(*inner), inner_(std::move(inner)), missing_(missing), compute_(compute) {
    if (missing == Missing::kWaitOfCompute) compute_.be_deaf_to(inner_.get());
  }
  ~PlantedStream() override { compute_.be_deaf_to(nullptr); }
  void wait(Event event) override {
    if (missing_ != Missing::kWaitOfTraffic) StreamDecorator::wait(event);
  }
  void submit(std::function<void()> work) override { late().submit(std::move(work)); }
  // Where traffic is not waited for it takes its time; who dawdles too would not be there before it.
  Stream& late() {
    if (missing_ != Missing::kWaitOfTraffic)
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

// Gathers that wait for compute alone, and so for what a share lands in but not for the share.
class DeafGathers final : public CommunicatorDecorator {
 public:
  DeafGathers(Communicator& inner, Stream& compute) : CommunicatorDecorator(inner), compute_(compute) {}
  Event all_gather(std::byte* out, const std::byte* mine, std::size_t share, Event) override {
    return CommunicatorDecorator::all_gather(out, mine, share, compute_.record());
  }

 private:
  Stream& compute_;
};

// Kernels of which updates come late: when the first adapter of the next step was cast, to be gathered.
class LateUpdates final : public OpsDecorator {
 public:
  using OpsDecorator::OpsDecorator;
  void adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step, float scale) override {
    late_.push_back([=, this] { OpsDecorator::adamw(master, m, v, gradient, step, scale); });
  }
  void cast(Tensor y, ConstTensor x) override {
    OpsDecorator::cast(y, x);
    for (const std::function<void()>& update : std::exchange(late_, {})) update();
  }

 private:
  std::vector<std::function<void()>> late_;
};

// A device on which one copy of the stream `name` is left out.
class OneCopyLess final : public DeviceDecorator {
 public:
  OneCopyLess(Device& inner, std::string name, int nth)
      : DeviceDecorator(inner, nullptr, nullptr), name_(std::move(name)), to_go_(nth) {}
  std::unique_ptr<Stream> make_stream(const std::string& name) override {
    std::unique_ptr<Stream> stream = DeviceDecorator::make_stream(name);
    if (name == name_) planted_ = stream.get();
    return stream;
  }
  void copy(std::byte* to, const std::byte* from, std::size_t bytes, Stream& stream) override {
    if (&stream != planted_ || to_go_-- != 0) DeviceDecorator::copy(to, from, bytes, stream);
  }

 private:
  std::string name_;
  int to_go_;
  Stream* planted_ = nullptr;
};

// A stream whose own work takes its time.
class SlowStream final : public StreamDecorator {
 public:
  explicit SlowStream(std::unique_ptr<Stream> inner) : StreamDecorator(*inner), inner_(std::move(inner)) {}
  void submit(std::function<void()> work) override {
    inner_->submit([] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
    inner_->submit(std::move(work));
  }
  Stream& inner() { return *inner_; }

 private:
  std::unique_ptr<Stream> inner_;
};

// A device where masters go up without waiting for their update, which comes late.
class HastyMasters final : public DeviceDecorator {
 public:
  explicit HastyMasters(Device& inner) : DeviceDecorator(inner, nullptr, nullptr) {}
  std::unique_ptr<Stream> make_stream(const std::string& name) override {
    std::unique_ptr<Stream> stream = DeviceDecorator::make_stream(name);
    if (name == "host") {
      auto slow = std::make_unique<SlowStream>(std::move(stream));
      host_ = slow.get();
      return slow;
    }
    if (name != "masters") return stream;
    real_ = std::move(stream);
    auto deaf = std::make_unique<DeafStream>(*real_);
    deaf->be_deaf_to(&host_->inner());
    masters_ = deaf.get();
    return deaf;
  }
  void copy(std::byte* to, const std::byte* from, std::size_t bytes, Stream& stream) override {
    DeviceDecorator::copy(to, from, bytes, &stream == masters_ ? *real_ : &stream == host_ ? host_->inner() : stream);
  }

 private:
  SlowStream* host_ = nullptr;
  const Stream* masters_ = nullptr;
  std::unique_ptr<Stream> real_;
};

TinyJob dawdling(Tier base, Tier layer_inputs, Tier optimizer = Tier::kDevice) {
  return {.frozen = {{base}}, .optimizer = {optimizer}, .layer_inputs = layer_inputs, .mode = StreamMode::kDelayed};
}

TinyJob out_of_step(TinyJob job, const std::string& stream, Missing missing) {
  // Without prefetching nothing is ahead of its use, so every wait for it matters. Of two ranks compute would wait for
  // the gather; what is filled too early shows behind it too.
  if (missing != Missing::kWaitOfTraffic) job.prefetch = Prefetch::kNo;
  if (missing != Missing::kWaitOfCompute) job.ranks = 2;
  if (missing == Missing::kWaitOfGather)
    job.plant_gathers = [](Communicator& gathers, Device& device) {
      return std::make_unique<DeafGathers>(gathers, device.compute());
    };
  job.plant = [=](Device& device) { return std::make_unique<OutOfStep>(device, stream, missing); };
  return job;
}

class PlantedTraffic : public testing::Test {
 protected:
  void SetUp() override {
    if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer stops at the planted race itself";
  }
  // Some delays hide the bug: it has to show under one of them.
  static bool shows(TinyJob job, std::uint64_t seeds = 3) {
    static const TinyResult right = run(TinyJob{});
    for (job.seed = 1; job.seed <= seeds; ++job.seed) try {
        if (!(run(job) == right)) return true;
      } catch (const Diverged&) {  // what was not there reads as NaN
        return true;
      }
    return false;
  }
};

TEST_F(PlantedTraffic, WithoutABugTheDawdlingRunsAreRight) {
  EXPECT_FALSE(shows(dawdling(Tier::kPinned, Tier::kPinned), 1));
  EXPECT_FALSE(shows(dawdling(Tier::kDisk, Tier::kDevice, Tier::kPinned), 1));
  EXPECT_FALSE(shows(dawdling(Tier::kDevice, Tier::kDisk), 1));
}

TEST_F(PlantedTraffic, AMissingWaitForAnUploadShows) {
  EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kPinned, Tier::kDevice), "uploads", Missing::kWaitOfCompute)));
}

TEST_F(PlantedTraffic, AMissingWaitForAReadShows) {
  EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kDisk, Tier::kDevice), "reads", Missing::kWaitOfCompute)));
}

TEST_F(PlantedTraffic, AGatherThatDoesNotWaitForItsUploadShows) {
  EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kPinned, Tier::kDevice), "uploads", Missing::kWaitOfGather)));
}

TEST_F(PlantedTraffic, AGatherThatDoesNotWaitForItsReadShows) {
  EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kDisk, Tier::kDevice), "reads", Missing::kWaitOfGather)));
}

TEST_F(PlantedTraffic, AStaleAdapterShows) {
  TinyJob job{.ranks = 2};
  job.plant = [](Device& device) {
    return std::make_unique<DeviceDecorator>(device, nullptr, std::make_unique<LateUpdates>(device.ops()));
  };
  EXPECT_TRUE(shows(job));
}

TEST_F(PlantedTraffic, ASlotThatIsFilledTooEarlyShows) {
  EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kPinned, Tier::kDevice), "uploads", Missing::kWaitOfTraffic)));
  EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kDisk, Tier::kDevice), "reads", Missing::kWaitOfTraffic)));
}

TEST_F(PlantedTraffic, LayerInputsThatComeTooLateOrGoTooEarlyShow) {
  for (const Missing missing : {Missing::kWaitOfCompute, Missing::kWaitOfTraffic})
    for (const Tier tier : {Tier::kPinned, Tier::kDisk})
      EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kDevice, tier), "layer inputs", missing)));
}

TEST_F(PlantedTraffic, LayerInputsThatAreWrittenBeforeTheyAreThereShow) {
  EXPECT_TRUE(shows(out_of_step(dawdling(Tier::kDevice, Tier::kDisk), "layer input files", Missing::kWaitOfTraffic)));
}

TinyJob optimizer_on_host() { return dawdling(Tier::kDevice, Tier::kDevice, Tier::kPinned); }

TEST_F(PlantedTraffic, GradientsAndMastersThatComeTooLateOrGoTooEarlyShow) {
  for (const char* stream : {"host", "masters"})
    for (const Missing missing : {Missing::kWaitOfCompute, Missing::kWaitOfTraffic})
      EXPECT_TRUE(shows(out_of_step(optimizer_on_host(), stream, missing))) << stream;
}

TEST_F(PlantedTraffic, MastersThatDoNotWaitForTheirUpdateShow) {
  TinyJob hasty{.optimizer = {Tier::kPinned}};
  hasty.plant = [](Device& device) { return std::make_unique<HastyMasters>(device); };
  EXPECT_TRUE(shows(hasty));
}

// Three gradients come down in a step; five masters go up, three forward and two backward, where the last layer is
// still there. What is left out is the middle layer's of the second step, which has the slot of the first step's.
TEST_F(PlantedTraffic, ACopyOfTheSecondStepThatIsLeftOutShows) {
  for (const auto& [stream, nth] : {std::pair("host", 4), std::pair("masters", 6)})
    for (const Poison poison : {Poison::kNo, Poison::kYes}) {
      TinyJob job{.optimizer = {Tier::kPinned}, .poison = poison};
      job.plant = [&](Device& device) { return std::make_unique<OneCopyLess>(device, stream, nth); };
      EXPECT_TRUE(shows(job)) << stream;
    }
}

}  // namespace
}  // namespace shardlora
