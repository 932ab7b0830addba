// What computing stands still for, told by the hop that was late.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "decorators.h"
#include "tiny_job.h"

namespace shardlora {
namespace {

constexpr std::chrono::milliseconds kLate(10);
constexpr double kLateSeconds = 0.010;

double waits_for(const TinyResult& result, Hop hop) { return result.waits[static_cast<std::size_t>(hop)]; }

// Late for the traffic of one stream.
class LateStream final : public StreamDecorator {
 public:
  explicit LateStream(std::unique_ptr<Stream> inner) : StreamDecorator(*inner), inner_(std::move(inner)) {}
  Stream& late() {
    inner_->submit([] { std::this_thread::sleep_for(kLate); });
    return *inner_;
  }

 private:
  std::unique_ptr<Stream> inner_;
};

class LateDevice final : public DeviceDecorator {
 public:
  LateDevice(Device& inner, std::string name) : DeviceDecorator(inner, nullptr, nullptr), name_(std::move(name)) {}
  std::unique_ptr<Stream> make_stream(const std::string& name) override {
    std::unique_ptr<Stream> stream = DeviceDecorator::make_stream(name);
    if (name != name_) return stream;
    auto late = std::make_unique<LateStream>(std::move(stream));
    late_ = late.get();
    return late;
  }
  void copy(std::byte* to, const std::byte* from, std::size_t bytes, Stream& stream) override {
    DeviceDecorator::copy(to, from, bytes, &stream == late_ ? late_->late() : stream);
  }

 private:
  std::string name_;
  LateStream* late_ = nullptr;
};

TEST(Waits, AreForTheDiskWhereThatIsLate) {
  std::atomic<int> reads = 0;
  // Without prefetching all that the disk takes is waited for.
  const TinyResult slow = run({.steps = 1,
                               .frozen = {{Tier::kDisk}},
                               .prefetch = Prefetch::kNo,
                               .timing = Timing::kWaits,
                               .reads = [&](int, std::size_t) {
                                 ++reads;
                                 std::this_thread::sleep_for(kLate);
                               }});
  ASSERT_GT(reads, 6);
  const double of_the_step = waits_for(slow, Hop::kRead);
  EXPECT_GE(of_the_step, 6 * kLateSeconds);
  for (const Hop hop : {Hop::kUpload, Hop::kGather, Hop::kReduce, Hop::kLayerInputs})
    EXPECT_EQ(waits_for(slow, hop), 0) << name_of(hop);
  EXPECT_TRUE(slow.spans.empty()) << "nobody asked for a trace";
}

TEST(Waits, OfAShareFromTheDiskAreForTheDiskThenForTheGather) {
  const TinyResult slow = run({.ranks = 2,
                               .steps = 1,
                               .frozen = {{Tier::kDisk}},
                               .prefetch = Prefetch::kNo,
                               .timing = Timing::kWaits,
                               .reads = [](int rank, std::size_t) {
                                 if (rank == 1) std::this_thread::sleep_for(2 * kLate);
                               }});
  // Rank 0 reads at once and then waits for what rank 1 brings.
  EXPECT_GT(waits_for(slow, Hop::kGather), 6 * kLateSeconds);
  EXPECT_LT(waits_for(slow, Hop::kRead), 0.5 * waits_for(slow, Hop::kGather));
}

TEST(Waits, AreForUploadsAndLayerInputsWhereThoseAreLate) {
  for (const auto& [stream, hop] : {std::pair{"uploads", Hop::kUpload}, std::pair{"layer inputs", Hop::kLayerInputs}}) {
    const TinyResult slow =
        run({.steps = 1,
             .frozen = {{Tier::kPinned}},
             .layer_inputs = Tier::kPinned,
             .prefetch = Prefetch::kNo,
             .timing = Timing::kWaits,
             .plant = [stream = stream](Device& device) { return std::make_unique<LateDevice>(device, stream); }});
    EXPECT_GT(waits_for(slow, hop), 2 * kLateSeconds) << stream;
    EXPECT_GT(waits_for(slow, hop), waits_for(slow, hop == Hop::kUpload ? Hop::kLayerInputs : Hop::kUpload)) << stream;
  }
}

TEST(Waits, AreNotMeasuredWhereNobodyAsks) {
  EXPECT_EQ(run({.ranks = 2, .steps = 1, .frozen = {{Tier::kDisk}}}).waits, Waits{});
}

}  // namespace
}  // namespace shardlora
