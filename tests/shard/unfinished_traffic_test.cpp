// What is still on its way when its receiver ends: the bytes would land in memory that is somebody else's by then.
#include <gtest/gtest.h>

#include <chrono>

#include "backend/cpu/cpu_device.h"
#include "shard/layer_streamer.h"
#include "shard/traffic.h"
#include "train/thread_ranks.h"

namespace shardlora {
namespace {

constexpr std::chrono::milliseconds kLate(20);

TEST(LayerStreamer, EndsOnlyWhenEveryGatherHasArrived) {
  const std::vector<UnitSpec> units = units_of_growing_size(3);
  const auto arrived = on_thread_ranks(2, [&](Rendezvous& rendezvous) {
    const auto device = make_cpu_device();
    const auto communicator = rendezvous.make_communicator(*device, "gathers");
    WatchedCommunicator gathers(*communicator, *device, kLate);
    ParamStore store(*device, rendezvous.rank(), rendezvous.size(), units);
    {
      LayerStreamer streamer(*device, store, gathers, nullptr, {{0, 1, 2}}, {});
      streamer.run(0);
      const Lease first = streamer.borrow(0);  // while b is fetched
    }
    return std::pair(gathers.arrived(), static_cast<int>(gathers.issued().size()));
  });
  for (const auto& [arrived_then, issued] : arrived) {
    EXPECT_EQ(issued, 4);  // a and b, frozen and trainable
    EXPECT_EQ(arrived_then, issued);
  }
}

TEST(GradientReducer, EndsOnlyWhenWhatItSentHasArrived) {
  const std::vector<UnitSpec> units = units_of_growing_size(3);
  const auto arrived = on_thread_ranks(2, [&](Rendezvous& rendezvous) {
    const auto device = make_cpu_device();
    const auto communicator = rendezvous.make_communicator(*device, "reductions");
    WatchedCommunicator reductions(*communicator, *device, kLate);
    ParamStore store(*device, rendezvous.rank(), rendezvous.size(), units);
    {
      GradientReducer reducer(*device, store, reductions, 2, 1);
      reducer.begin_step({{0, 1, 2}, 1});
      reducer.leaf(0);
      reducer.push(0, rendezvous.rank());
      reducer.reduce(0);
    }
    return std::pair(reductions.arrived(), static_cast<int>(reductions.issued().size()));
  });
  for (const auto& [arrived_then, issued] : arrived) {
    EXPECT_EQ(issued, 1);
    EXPECT_EQ(arrived_then, issued);
  }
}

}  // namespace
}  // namespace shardlora
