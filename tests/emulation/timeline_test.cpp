// How long a GPU's streams work and wait, by CUDA events.
#include "backend/timeline.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "backend/gpu.h"

namespace shardlora {
namespace {

constexpr std::chrono::milliseconds kWork(20);

void work(Stream& stream) {
  stream.submit([] { std::this_thread::sleep_for(kWork); });
}

TEST(TimelineOfAGpu, KnowsHowLongComputingStoodStill) {
  const std::unique_ptr<Device> device = make_gpu_device({});
  const std::unique_ptr<Stream> uploads = device->make_stream("uploads");
  Timeline& timeline = device->timeline();
  EXPECT_EQ(timeline.by_itself(), Timing::kOff);
  timeline.measure(Timing::kWaits);
  const std::int64_t begin = nanoseconds_now();
  work(*uploads);
  timeline.wait(device->compute(), uploads->record(), Hop::kUpload);
  timeline.end(*uploads, timeline.begin(*uploads, "uploads", "nobody asked for spans"));
  device->compute().synchronize();
  const double took = static_cast<double>(nanoseconds_now() - begin) / 1e9;
  const Waits waits = timeline.take_waits();
  EXPECT_GT(waits[static_cast<std::size_t>(Hop::kUpload)], 0.015);
  EXPECT_LE(waits[static_cast<std::size_t>(Hop::kUpload)], took);
  EXPECT_EQ(waits[static_cast<std::size_t>(Hop::kRead)], 0);
  EXPECT_EQ(timeline.take_waits(), Waits{}) << "they were taken";
  EXPECT_TRUE(timeline.take_spans().empty());
}

TEST(TimelineOfAGpu, KnowsWhenAStreamWorkedAndLeavesWhatIsUnderWayForLater) {
  const std::unique_ptr<Device> device = make_gpu_device({});
  const std::unique_ptr<Stream> uploads = device->make_stream("uploads");
  Timeline& timeline = device->timeline();
  timeline.measure(Timing::kSpans);
  const std::int64_t begin = nanoseconds_now();
  const Timeline::Mark mark = timeline.begin(*uploads, "uploads", "a layer");
  work(*uploads);
  timeline.end(*uploads, mark);
  EXPECT_TRUE(timeline.take_spans().empty());
  uploads->synchronize();
  const std::int64_t end = nanoseconds_now();
  const std::vector<Span> spans = timeline.take_spans();
  ASSERT_EQ(spans.size(), 1U);
  EXPECT_EQ(spans[0].stream, "uploads");
  EXPECT_EQ(spans[0].name, "a layer");
  // The clocks were compared once, by a wait of the host.
  EXPECT_GE(spans[0].begin, begin - 1'000'000);
  EXPECT_LE(spans[0].end, end + 1'000'000);
  EXPECT_GT(spans[0].end - spans[0].begin, 15'000'000);
}

}  // namespace
}  // namespace shardlora
