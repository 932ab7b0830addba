// What is still on its way when its receiver ends: the bytes would land in memory that is somebody else's by then.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "backend/cpu/cpu_device.h"
#include "shard/layer_streamer.h"
#include "train/thread_ranks.h"

namespace shardlora {
namespace {

// Every collective arrives 20 ms late. Knows how many have arrived.
class LateCommunicator final : public Communicator {
 public:
  LateCommunicator(Communicator& inner, Device& device)
      : inner_(inner), pauses_(stream(device)), arrivals_(stream(device)) {}
  int issued() const { return issued_; }
  int arrived() const { return arrived_; }

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  Event all_gather(std::byte* out, const std::byte* mine, std::size_t share, Event after) override {
    return counted(inner_.all_gather(out, mine, share, late(after)));
  }
  Event all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                   std::span<const std::size_t> send, Event after) override {
    return counted(inner_.all_to_all(out, receive, in, send, late(after)));
  }
  void barrier() override { inner_.barrier(); }
  void synchronize(Event event) override { arrivals_->synchronize(event); }
  void abort() noexcept override { inner_.abort(); }

 private:
  static std::unique_ptr<CpuStream> stream(Device& device) {
    return std::unique_ptr<CpuStream>(&dynamic_cast<CpuStream&>(*device.make_stream("late").release()));
  }
  Event late(Event after) {
    pauses_->wait(after);
    pauses_->submit([] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
    return pauses_->record();
  }
  Event counted(Event done) {
    ++issued_;
    arrivals_->wait(done);
    arrivals_->submit([this] { ++arrived_; });
    return arrivals_->record();
  }
  Communicator& inner_;
  int issued_ = 0;
  std::atomic<int> arrived_ = 0;
  std::unique_ptr<CpuStream> pauses_, arrivals_;
};

std::vector<UnitSpec> three_units() {
  std::vector<UnitSpec> units;
  for (const char* name : {"a", "b", "c"}) {
    const Format f32{.codec = Codec::kF32};
    units.push_back(
        {name, {{std::string(name) + ".weight", {64, 64}, f32}, {std::string(name) + ".lora", {4, 64}, f32, true}}});
  }
  return units;
}

TEST(LayerStreamer, EndsOnlyWhenEveryGatherHasArrived) {
  const std::vector<UnitSpec> units = three_units();
  const auto arrived = on_thread_ranks(2, [&](Rendezvous& rendezvous) {
    const auto device = make_cpu_device();
    const auto communicator = rendezvous.make_communicator(*device, "gathers");
    LateCommunicator gathers(*communicator, *device);
    ParamStore store(*device, rendezvous.rank(), rendezvous.size(), units, {});
    {
      LayerStreamer streamer(*device, store, gathers, nullptr, {{0, 1, 2}}, {});
      streamer.run(0);
      const Lease first = streamer.borrow(0);  // while b is fetched
    }
    return std::pair(gathers.arrived(), gathers.issued());
  });
  for (const auto& [arrived_then, issued] : arrived) {
    EXPECT_EQ(issued, 4);  // a and b, frozen and trainable
    EXPECT_EQ(arrived_then, issued);
  }
}

TEST(GradientReducer, EndsOnlyWhenWhatItSentHasArrived) {
  const std::vector<UnitSpec> units = three_units();
  const auto arrived = on_thread_ranks(2, [&](Rendezvous& rendezvous) {
    const auto device = make_cpu_device();
    const auto communicator = rendezvous.make_communicator(*device, "reductions");
    LateCommunicator reductions(*communicator, *device);
    ParamStore store(*device, rendezvous.rank(), rendezvous.size(), units, {});
    {
      GradientReducer reducer(*device, store, reductions, 2, Waves::kOne);
      reducer.begin_step({0, 1, 2});
      reducer.leaf(0);
      reducer.push(0, rendezvous.rank());
      reducer.reduce(0);
    }
    return std::pair(reductions.arrived(), reductions.issued());
  });
  for (const auto& [arrived_then, issued] : arrived) {
    EXPECT_EQ(issued, 1);
    EXPECT_EQ(arrived_then, issued);
  }
}

}  // namespace
}  // namespace shardlora
