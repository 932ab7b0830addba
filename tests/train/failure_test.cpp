// Two communicators may break for one reason; what a person is told is that reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>

#include "base/disk.h"
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

std::string message_of(const TinyJob& job) {
  try {
    run(job);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

// Notes down every update of a rank.
class CountedUpdates final : public OpsDecorator {
 public:
  CountedUpdates(Ops& inner, std::atomic<int>& count) : OpsDecorator(inner), count_(count) {}
  void adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step, float scale) override {
    ++count_;
    OpsDecorator::adamw(master, m, v, gradient, step, scale);
  }

 private:
  std::atomic<int>& count_;
};

// Whichever unit of the second step it is: what ranks have is the first step's adapter, all of it on all of them.
TEST(FailedStep, IsUpdatedByNoRank) {
  for (const int broken : {0, 1}) {
    for (const int well : {9, 13}) {  // of eight units that the first step reads, the next one's first among them
      std::atomic<int> updates[2] = {0, 0}, next = 0;
      std::vector<std::size_t> read;
      TinyJob job{.ranks = 2, .steps = 2, .frozen = {{Tier::kDisk}}, .lora_rank = 16, .mode = StreamMode::kQueued};
      job.reads = [&](int rank, std::size_t unit) {
        if (rank != broken) return;
        if (read.empty() || read.back() != unit) read.push_back(unit);
        if (std::ssize(read) > well) throw Error("the disk failed");
      };
      job.plant = [&](Device& device) {
        auto ops = std::make_unique<CountedUpdates>(device.ops(), updates[next++]);
        return std::make_unique<DeviceDecorator>(device, nullptr, std::move(ops));
      };
      EXPECT_THAT(message_of(job), HasSubstr("the disk failed"));
      for (const int count : updates) EXPECT_EQ(count, job.layers) << "rank " << broken << " after " << well;
    }
  }
}

// Some transfers of scratch files go well, then none of that kind.
struct FailingScratch : Disk {
  std::atomic<int> writes, reads;
  FailingScratch(int writes, int reads) : writes(writes), reads(reads) {}
  ssize_t pwrite(int descriptor, const void* from, std::size_t bytes, off_t offset) override {
    errno = ENOSPC;
    return writes-- <= 0 ? -1 : Disk::pwrite(descriptor, from, bytes, offset);
  }
  ssize_t pread(int descriptor, void* to, std::size_t bytes, off_t offset) override {
    errno = EIO;
    return reads-- <= 0 ? -1 : Disk::pread(descriptor, to, bytes, offset);
  }
};

TEST(FailedStep, TellsOfLayerInputsThatTheDiskLost) {
  const TinyJob job{.ranks = 2, .layers = 5, .layer_inputs = Tier::kDisk, .mode = StreamMode::kQueued};
  {
    FailingScratch disk(14, 1 << 20);
    const DiskInstead instead(disk);
    EXPECT_THAT([&] { run(job); }, ThrowsMessage<Error>(HasSubstr("cannot be written at offset ")));
  }
  FailingScratch disk(1 << 20, 7);
  const DiskInstead instead(disk);
  EXPECT_THAT([&] { run(job); }, ThrowsMessage<Error>(HasSubstr("cannot be read at offset ")));
}

}  // namespace
}  // namespace shardlora
