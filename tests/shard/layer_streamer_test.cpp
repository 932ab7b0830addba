// The rules that layer_streamer.h opens with, one by one.
#include "shard/layer_streamer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "backend/cpu/cpu_device.h"
#include "comm/single_rendezvous.h"
#include "shard/traffic.h"
#include "train/thread_ranks.h"

namespace shardlora {
namespace {

using testing::ElementsAre;

constexpr std::size_t kUnits = 3;
// Forward and backward over an embedding, a layer and a head; the layer at the turn keeps its slot.
const std::vector<std::size_t> kVisits{0, 1, 2, 1, 0};

float frozen_value(std::size_t unit, std::size_t i) { return static_cast<float>(1000 * (unit + 1) + i % 251); }
float trainable_value(std::size_t unit, std::size_t i) {
  return static_cast<float>(unit + 1) + static_cast<float>(i) / 64;
}

void fill(ParamStore& store, Communicator& comm) {
  for (std::size_t u = 0; u < store.units(); ++u) {
    std::vector<float> frozen(store.layout(u).frozen_bytes() / sizeof(float));
    for (std::size_t i = 0; i < frozen.size(); ++i) frozen[i] = frozen_value(u, i);
    store.scatter_frozen(u, 0, comm.rank() == 0 ? reinterpret_cast<const std::byte*>(frozen.data()) : nullptr, comm);
    std::vector<float> trainable(static_cast<std::size_t>(store.layout(u).trainable_elements()));
    for (std::size_t i = 0; i < trainable.size(); ++i) trainable[i] = trainable_value(u, i);
    store.set_trainable(u, trainable.data());
  }
}

// A rank with everything that a streamer wants.
struct Rank {
  explicit Rank(Rendezvous& rendezvous, Residence residence = {}, std::chrono::milliseconds late = {})
      : device(make_cpu_device()),
        communicator(rendezvous.make_communicator(*device, "gathers")),
        gathers(*communicator, *device, late),
        store(*device, rendezvous.rank(), rendezvous.size(), units, residence) {
    fill(store, *communicator);
  }
  const std::vector<UnitSpec> units = units_of_growing_size(kUnits);
  std::unique_ptr<Device> device;
  std::unique_ptr<Communicator> communicator;
  WatchedCommunicator gathers;
  ParamStore store;

  LayerStreamer streamer(StreamerOptions options = {}) {
    return {*device, store, gathers, nullptr, {kVisits}, options};
  }
  // What was asked for since the last call; "b" is the frozen part of unit b, "B" its trainable one.
  std::string asked() {
    std::string names;
    for (; told < gathers.issued().size(); ++told)
      for (std::size_t u = 0; u < kUnits; ++u) {
        const char name = static_cast<char>('a' + u);
        if (gathers.issued()[told] == fmt::format("gather {}", store.frozen_share(u))) names += name;
        if (gathers.issued()[told] == fmt::format("gather {}", store.element_share(u) * sizeof(float)))
          names += static_cast<char>(std::toupper(name));
      }
    return names;
  }
  std::size_t told = 0;
};

float value(const PackedTensor& tensor, std::size_t i) {
  float v = 0;
  std::memcpy(&v, tensor.sections[0] + i * sizeof v, sizeof v);
  return v;
}

TEST(LayerStreamer, BringsWhatWasStoredOnEveryRankAndInEveryResidence) {
  for (const Sharding sharding : {Sharding::kSharded, Sharding::kReplicated})
    for (const int ranks : {1, 2, 3})
      on_thread_ranks(ranks, [&](Rendezvous& rendezvous) {
        Rank rank(rendezvous, {Tier::kDevice, sharding});
        LayerStreamer streamer = rank.streamer();
        streamer.run(0);
        for (const std::size_t unit : kVisits) {
          const Lease lease = streamer.borrow(unit);
          rank.device->compute().synchronize();
          const UnitView view = lease.view();
          EXPECT_EQ(view.index, unit);
          for (std::size_t i = 0; i < static_cast<std::size_t>(view.params[0].shape.numel()); ++i)
            EXPECT_EQ(value(view.params[0], i), frozen_value(unit, i)) << unit << " " << i;
          for (std::size_t i = 0; i < static_cast<std::size_t>(view.params[1].shape.numel()); ++i)
            EXPECT_EQ(value(view.params[1], i), trainable_value(unit, i)) << unit << " " << i;
        }
        return 0;
      });
}

// Rules 1 and 5. Ranks and times differ, what is asked for does not: the next unit while this one computes, none that
// keeps its slot, the first unit's frozen bytes at the end of a round, its trainable part when it is borrowed.
TEST(LayerStreamer, AsksForTheScheduleAndNothingElse) {
  on_thread_ranks(2, [&](Rendezvous& rendezvous) {
    // One rank's gathers arrive late.
    Rank rank(rendezvous, {}, std::chrono::milliseconds(rendezvous.rank() == 0 ? 0 : 5));
    LayerStreamer streamer = rank.streamer();
    streamer.run(0);
    std::vector<std::string> first, second;
    for (std::vector<std::string>* round : {&first, &second})
      for (const std::size_t unit : kVisits) {
        const Lease lease = streamer.borrow(unit);
        round->push_back(rank.asked());
      }
    EXPECT_THAT(first, ElementsAre("aAbB", "cC", "", "aA", ""));
    EXPECT_THAT(second, ElementsAre("AbB", "cC", "", "aA", ""));
    return 0;
  });
}

TEST(LayerStreamer, FetchesTheFirstUnitsFrozenBytesWhenARoundEnds) {
  on_thread_ranks(2, [&](Rendezvous& rendezvous) {
    Rank rank(rendezvous);
    LayerStreamer streamer(*rank.device, rank.store, rank.gathers, nullptr, {{0, 1, 2}}, {});
    streamer.run(0);
    std::vector<std::string> asked;
    for (const std::size_t unit : {0, 1, 2, 0}) {
      const Lease lease = streamer.borrow(unit);
      asked.push_back(rank.asked());
    }
    EXPECT_THAT(asked, ElementsAre("aAbB", "cC", "a", "AbB"));
    return 0;
  });
}

// The last unit of a round and the first one may be the largest two: they need not fit together.
TEST(LayerStreamer, FetchesTheFirstUnitLateWhereTheLastOneLeavesNoRoom) {
  on_thread_ranks(2, [&](Rendezvous& rendezvous) {
    Rank rank(rendezvous);
    const std::vector<std::size_t> visits{1, 0, 2};
    LayerStreamer streamer(*rank.device, rank.store, rank.gathers, nullptr, {visits}, {.poison = Poison::kYes});
    streamer.run(0);
    std::vector<std::string> asked;
    for (int round = 0; round < 3; ++round)
      for (const std::size_t unit : visits) {
        const Lease lease = streamer.borrow(unit);
        asked.push_back(rank.asked());
        rank.device->compute().synchronize();
        for (std::size_t i = 0; i < static_cast<std::size_t>(lease.view().params[0].shape.numel()); ++i)
          EXPECT_EQ(value(lease.view().params[0], i), frozen_value(unit, i)) << unit << " " << i;
      }
    EXPECT_THAT(asked, ElementsAre("bBaA", "cC", "", "bBaA", "cC", "", "bBaA", "cC", ""));
    return 0;
  });
}

// Nor is the last unit written over while work that its lease was lent for still waits in the compute stream.
TEST(LayerStreamer, LeavesTheLastUnitToItsReadersWhereTheFirstOneIsFetchedOverIt) {
  SingleRendezvous rendezvous;
  const std::unique_ptr<Device> device = make_cpu_device({.mode = StreamMode::kQueued});
  const auto gathers = rendezvous.make_communicator(*device, "gathers");
  const std::vector<UnitSpec> units = units_of_growing_size(kUnits);
  ParamStore store(*device, 0, 1, units, Residence{Tier::kPinned});
  fill(store, *gathers);
  const std::vector<std::size_t> visits{1, 0, 2};
  LayerStreamer streamer(*device, store, *gathers, nullptr, {visits}, {});
  streamer.run(0);
  std::vector<float> seen;
  for (const std::size_t unit : visits) {
    const Lease lease = streamer.borrow(unit);
    if (unit != 2) continue;
    // Its trainable part lies behind the frozen one, where the first unit comes.
    device->compute().submit([&seen, late = lease.view().params[1]] {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      for (std::size_t i = 0; i < static_cast<std::size_t>(late.shape.numel()); ++i) seen.push_back(value(late, i));
    });
  }
  const Lease next = streamer.borrow(visits[0]);
  device->compute().synchronize();
  ASSERT_FALSE(seen.empty());
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], trainable_value(2, i)) << i;
}

// Rule 5: an optimiser that runs between two rounds is seen by the next one.
TEST(LayerStreamer, GathersTheTrainablePartAfterTheOptimiser) {
  on_thread_ranks(2, [&](Rendezvous& rendezvous) {
    Rank rank(rendezvous);
    LayerStreamer streamer = rank.streamer();
    streamer.run(0);
    for (int round = 0; round < 3; ++round) {
      for (const std::size_t unit : kVisits) {
        const Lease lease = streamer.borrow(unit);
        rank.device->compute().synchronize();
        EXPECT_EQ(value(lease.view().params[1], 0), round == 0 ? trainable_value(unit, 0) : static_cast<float>(round));
      }
      for (std::size_t u = 0; u < kUnits; ++u) {
        const std::vector<float> trained(static_cast<std::size_t>(rank.store.layout(u).trainable_elements()),
                                         static_cast<float>(round + 1));
        rank.store.set_trainable(u, trained.data());
      }
    }
    return 0;
  });
}

// Rule 3.
TEST(LayerStreamer, LendsOneUnitAtATimeInTheOrderOfTheSchedule) {
  on_thread_ranks(1, [&](Rendezvous& rendezvous) {
    Rank rank(rendezvous);
    LayerStreamer streamer = rank.streamer();
    streamer.run(0);
    EXPECT_THROW(streamer.borrow(1), std::logic_error);
    {
      const Lease lease = streamer.borrow(0);
      EXPECT_THROW(streamer.borrow(1), std::logic_error);
      EXPECT_THROW(streamer.run(0), std::logic_error);
    }
    EXPECT_EQ(streamer.borrow(1).unit(), 1U);
    return 0;
  });
}

// A peer that never comes: nothing arrives before `abort`, and the wait for it ends after two seconds at the latest.
class AbandonedCommunicator final : public Communicator {
 public:
  explicit AbandonedCommunicator(Device& device)
      : stream_(&dynamic_cast<CpuStream&>(*device.make_stream("abandoned").release())) {}
  bool waited_for_ever() const { return waited_for_ever_; }
  int rank() const override { return 0; }
  int size() const override { return 2; }
  Event all_gather(std::byte*, const std::byte*, std::size_t, Event) override {
    stream_->submit([this] {
      for (int i = 0; i < 2000 && !aborted_; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (!aborted_) waited_for_ever_ = true;
    });
    return stream_->record();
  }
  Event all_to_all(std::byte*, std::span<const std::size_t>, const std::byte*, std::span<const std::size_t>,
                   Event) override {
    return {};
  }
  void barrier() override {}
  void synchronize(Event event) override { stream_->synchronize(event); }
  void abort() noexcept override { aborted_ = true; }

 private:
  std::atomic<bool> aborted_ = false, waited_for_ever_ = false;
  std::unique_ptr<CpuStream> stream_;
};

TEST(LayerStreamer, UnwindsWithoutWaitingForPeers) {
  const std::vector<UnitSpec> units = units_of_growing_size(kUnits);
  const auto device = make_cpu_device({.mode = StreamMode::kQueued});
  AbandonedCommunicator gathers(*device);
  ParamStore store(*device, 0, 2, units);
  const auto breaks = [&] {
    LayerStreamer streamer(*device, store, gathers, nullptr, {kVisits}, {});
    streamer.run(0);
    const Lease lease = streamer.borrow(0);
    throw std::runtime_error("an op failed");
  };
  EXPECT_THROW(breaks(), std::runtime_error);
  EXPECT_FALSE(gathers.waited_for_ever());
}

// Rule 4: all micro-batches of a visit, and a second visit that follows at once, read one decoded copy.
TEST(LayerStreamer, DecodesAUnitOnceAVisit) {
  on_thread_ranks(2, [&](Rendezvous& rendezvous) {
    Rank rank(rendezvous);
    LayerStreamer streamer(*rank.device, rank.store, rank.gathers, nullptr, {{0, 1, 1, 2}}, {.dtype = DType::kBF16});
    streamer.run(0);
    {
      const Lease lease = streamer.borrow(0);
    }
    const std::byte* decoded = nullptr;
    {
      const Lease lease = streamer.borrow(1);
      rank.device->compute().synchronize();
      const PackedTensor weight = lease.view().params[0];
      EXPECT_EQ(dtype_of(weight.format.codec), DType::kBF16);
      EXPECT_EQ(lease.view().params[0].sections[0], weight.sections[0]);
      decoded = weight.sections[0];
      // Seen by the next visit, which decodes nothing.
      std::memset(const_cast<std::byte*>(decoded), 0, 2);
    }
    const Lease again = streamer.borrow(1);
    rank.device->compute().synchronize();
    EXPECT_EQ(again.view().params[0].sections[0], decoded);
    EXPECT_EQ(decoded[0], std::byte{0});
    EXPECT_EQ(decoded[1], std::byte{0});
    return 0;
  });
}

// Rule 6.
TEST(LayerStreamer, AllocatesNothingOnceItIsMade) {
  on_thread_ranks(2, [&](Rendezvous& rendezvous) {
    Rank rank(rendezvous);
    LayerStreamer streamer = rank.streamer({.dtype = DType::kBF16});
    const std::uint64_t before = rank.device->memory(Tier::kDevice).allocations;
    streamer.run(0);
    for (int round = 0; round < 2; ++round)
      for (const std::size_t unit : kVisits) const Lease lease = streamer.borrow(unit);
    EXPECT_EQ(rank.device->memory(Tier::kDevice).allocations, before);
    return 0;
  });
}

TEST(LayerStreamer, PoisonsASlotWhenItsLeaseEnds) {
  on_thread_ranks(2, [&](Rendezvous& rendezvous) {
    Rank rank(rendezvous);
    for (const Poison poison : {Poison::kNo, Poison::kYes}) {
      LayerStreamer streamer = rank.streamer({.poison = poison, .prefetch = Prefetch::kNo});
      streamer.run(0);
      PackedTensor weight, lora;
      {
        const Lease lease = streamer.borrow(0);
        weight = lease.view().params[0];
        lora = lease.view().params[1];
      }
      rank.device->compute().synchronize();
      EXPECT_EQ(std::isnan(value(weight, 7)), poison == Poison::kYes);
      EXPECT_EQ(std::isnan(value(lora, 7)), poison == Poison::kYes);
    }
    return 0;
  });
}

}  // namespace
}  // namespace shardlora
