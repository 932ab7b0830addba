#include "backend/cpu/cpu_stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "backend/cpu/cpu_device.h"
#include "base/error.h"

namespace shardlora {
namespace {

TEST(CpuStream, RunsWorkInTheOrderOfSubmission) {
  for (const StreamMode mode : {StreamMode::kInline, StreamMode::kQueued, StreamMode::kDelayed}) {
    CpuStream stream("order", mode, 1);
    std::vector<int> seen;
    for (int i = 0; i < 50; ++i) stream.submit([&seen, i] { seen.push_back(i); });
    stream.synchronize();
    ASSERT_EQ(seen.size(), 50U);
    for (int i = 0; i < 50; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
  }
}

TEST(CpuStream, DoesNotBlockTheCallerWhenQueued) {
  CpuStream stream("busy", StreamMode::kQueued);
  std::atomic<bool> released = false, ran = false;
  stream.submit([&] {
    while (!released) std::this_thread::yield();
    ran = true;
  });
  EXPECT_FALSE(ran);
  released = true;
  stream.synchronize();
  EXPECT_TRUE(ran);
}

TEST(CpuStream, AnEventCoversWhatWasSubmittedBeforeIt) {
  std::atomic<bool> released = false;  // the stream looks at it until it ends
  int first = 0;
  CpuStream stream("events", StreamMode::kQueued);
  stream.submit([&] { first = 1; });
  const Event event = stream.record();
  stream.submit([&] {
    while (!released) std::this_thread::yield();
  });
  stream.synchronize(event);  // returns although the second one is still going
  EXPECT_EQ(first, 1);
  released = true;
}

TEST(CpuStream, TheDefaultEventIsAlwaysDone) {
  CpuStream stream("default", StreamMode::kQueued);
  stream.wait({});
  stream.synchronize(Event{});
  stream.synchronize();
}

// One stream writes, another one reads. Returns whether the reader saw the data.
bool reader_sees_the_copy(StreamMode mode, std::uint64_t seed, bool wait) {
  CpuDevice device({.threads = 1, .mode = mode, .seed = seed, .poison = true});
  const auto upload = device.make_stream("upload"), read = device.make_stream("read");
  const std::vector<std::byte> source(1 << 16, std::byte{7});
  const Buffer slot = device.allocate(source.size(), Tier::kDevice, Purpose::kStreaming);
  std::vector<std::byte> seen(source.size());
  device.copy(slot.data(), source.data(), source.size(), *upload);
  if (wait) read->wait(upload->record());
  device.copy(seen.data(), slot.data(), slot.bytes(), *read);
  read->synchronize();
  const bool right = seen == source;
  upload->synchronize();
  return right;
}

TEST(CpuStream, EventsOrderStreamsHoweverTheyAreDelayed) {
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    EXPECT_TRUE(reader_sees_the_copy(StreamMode::kDelayed, seed, true)) << seed;
}

// Races on purpose, so it is left out under ThreadSanitizer.
#ifndef __SANITIZE_THREAD__
TEST(CpuStream, DelaysShowAMissingWait) {
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    wrong += reader_sees_the_copy(StreamMode::kDelayed, seed, false) ? 0 : 1;
  EXPECT_GT(wrong, 3);  // the reader's pause is the shorter one in about half of the seeds
}
#endif

TEST(CpuStream, SkipsWorkAfterAFailureAndReportsTheFirst) {
  CpuStream stream("failing", StreamMode::kQueued);
  bool ran = false;
  const Event before = stream.record();
  stream.submit([] { fail("first"); });
  stream.submit([&] { ran = true; });
  stream.submit([] { fail("second"); });
  try {
    stream.synchronize();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "first");
  }
  EXPECT_FALSE(ran);
  stream.synchronize(before);  // was done before anything failed
}

TEST(CpuStream, AFailureTravelsAlongEvents) {
  CpuStream disk("disk", StreamMode::kQueued), upload("upload", StreamMode::kDelayed, 3),
      compute("compute", StreamMode::kInline);
  disk.submit([] { fail("disk gone"); });
  upload.wait(disk.record());
  bool ran = false;
  upload.submit([&] { ran = true; });
  EXPECT_THROW(compute.wait(upload.record()), Error);  // an inline stream throws where it waits
  EXPECT_THROW(compute.synchronize(), Error);
  EXPECT_FALSE(ran);
}

TEST(CpuStream, AnEventBeforeTheFailureDoesNotCarryIt) {
  CpuStream a("a", StreamMode::kQueued), b("b", StreamMode::kQueued);
  a.submit([] {});
  const Event good = a.record();
  a.submit([] { fail("later"); });
  EXPECT_THROW(a.synchronize(), Error);
  b.wait(good);
  b.synchronize();
}

TEST(CpuStream, AnInlineStreamThrowsWhereWorkIsSubmitted) {
  CpuStream stream("inline", StreamMode::kInline);
  EXPECT_THROW(stream.submit([] { fail("at once"); }), Error);
  bool ran = false;
  stream.submit([&] { ran = true; });
  EXPECT_FALSE(ran);
  EXPECT_THROW(stream.synchronize(), Error);
}

TEST(CpuStream, MayBeDestroyedWhileAnotherOneStillHasItsEventInFront) {
  CpuStream slow("slow", StreamMode::kQueued);
  int value = 0;
  std::atomic<bool> released = false;
  slow.submit([&] {
    while (!released) std::this_thread::yield();
  });
  {
    CpuStream brief("brief", StreamMode::kQueued);
    brief.submit([&value] { value = 5; });
    slow.wait(brief.record());
  }
  int seen = 0;
  slow.submit([&] { seen = value; });
  released = true;
  slow.synchronize();
  EXPECT_EQ(seen, 5);
}

TEST(CpuStream, RunsEverythingBeforeItsDestructorReturns) {
  int done = 0;
  {
    CpuStream stream("last", StreamMode::kDelayed, 2);
    for (int i = 0; i < 10; ++i) stream.submit([&done] { ++done; });
  }
  EXPECT_EQ(done, 10);
}

// A stream of another kind of device, as far as others see it.
class ForeignStream final : public Stream {
 public:
  Event record() override { return {this, 1}; }
  void wait(Event) override {}
  void submit(std::function<void()> work) override { work(); }
  void throw_failure() override {}
  void synchronize() override { synchronize({this, 1}); }
  void synchronize(Event) override {
    while (!done) std::this_thread::yield();
    if (failed) fail("the other device failed");
  }
  std::atomic<bool> done = false, failed = false;
};

TEST(CpuStream, WaitsForAStreamOfAnotherDeviceOnItsOwnThread) {
  ForeignStream other;
  CpuStream stream("waits", StreamMode::kQueued);
  std::atomic<bool> ran = false;
  stream.wait(other.record());
  stream.submit([&] { ran = true; });
  EXPECT_FALSE(ran);
  other.done = true;
  stream.synchronize();
  EXPECT_TRUE(ran);
  other.failed = true;
  stream.wait(other.record());
  EXPECT_THROW(stream.synchronize(), Error);
}

}  // namespace
}  // namespace shardlora
