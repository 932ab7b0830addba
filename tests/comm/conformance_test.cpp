#include "comm/conformance.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <csignal>

#include "backend/cpu/cpu_device.h"
#include "base/error.h"
#include "comm/host_communicator.h"
#include "comm/ranks.h"
#include "comm/single_rendezvous.h"
#include "comm/staged_transport.h"
#include "comm/tcp_rendezvous.h"

namespace shardlora {
namespace {

using Body = std::function<void(Rendezvous&)>;

// One kind of communicator between ranks of one kind.
struct Way {
  const char* name;
  int fewest, most;
  void (*run)(int ranks, const Body& body);
  std::unique_ptr<Communicator> (*make)(Rendezvous& ranks, Device& device, const std::string& name);
};

void run_single(int, const Body& body) {
  SingleRendezvous single;
  body(single);
}
void run_processes(int ranks, const Body& body) { run_process_ranks(ranks, body); }
void run_tcp_processes(int ranks, const Body& body) { run_tcp_process_ranks(ranks, body); }

std::unique_ptr<Communicator> own(Rendezvous& ranks, Device& device, const std::string& name) {
  return ranks.make_communicator(device, name);
}
std::unique_ptr<Communicator> tcp(Rendezvous& ranks, Device& device, const std::string& name) {
  return std::make_unique<HostCommunicator>(dynamic_cast<TcpRendezvous&>(ranks).make_tcp_transport(), device, name);
}
// What a GPU without NCCL gets, over memory that the host could read as well. Small staging: many rounds.
std::unique_ptr<Communicator> staged(Rendezvous& ranks, Device& device, const std::string& name) {
  auto transport = std::make_unique<StagedTransport>(ranks.make_transport(), device, name, std::size_t{1} << 20);
  return std::make_unique<HostCommunicator>(std::move(transport), device, name);
}

constexpr Way kWays[] = {
    {"Single", 1, 1, run_single, own},
    {"Threads", 1, 4, run_thread_ranks, own},
    {"Processes", 2, 4, run_processes, own},
    {"ProcessesThatMetByTcp", 2, 4, run_tcp_processes, own},
    {"TcpThreads", 1, 4, run_tcp_thread_ranks, tcp},
    {"TcpProcesses", 2, 4, run_tcp_processes, tcp},
    {"StagedThreads", 1, 4, run_thread_ranks, staged},
    {"StagedProcesses", 2, 4, run_processes, staged},
};

struct Case {
  Way way;
  int ranks;
  CommCheck check;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const CommCheck& check : comm_checks())
    for (const Way& way : kWays)
      for (int ranks = way.fewest; ranks <= way.most; ++ranks) all.push_back({way, ranks, check});
  return all;
}

class EveryCommunicator : public testing::TestWithParam<Case> {};

TEST_P(EveryCommunicator, KeepsItsPromise) {
  const auto& [way, ranks, check] = GetParam();
  const auto body = [&check = check, &way = way](Rendezvous& rendezvous) {
    const auto seed = static_cast<std::uint64_t>(rendezvous.rank());
    CpuDevice device({.threads = 1, .mode = StreamMode::kDelayed, .seed = seed});
    CommContext context{rendezvous, device, [&](const char* name) { return way.make(rendezvous, device, name); }};
    check.run(context);
  };
  EXPECT_NO_THROW(way.run(ranks, body));
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  return fmt::format("{}_{}{}", info.param.check.name, info.param.way.name, info.param.ranks);
}

INSTANTIATE_TEST_SUITE_P(Comm, EveryCommunicator, testing::ValuesIn(cases()), case_name);

// The last rank is killed while the others wait for its part of a collective; it stays a zombie until they are done.
void check_end_of_a_killed_rank(const Way& way) {
  for (int ranks = 2; ranks <= 4; ++ranks) {
    const auto body = [&way](Rendezvous& rendezvous) {
      const auto device = make_cpu_device({.threads = 1});
      const auto comm = way.make(rendezvous, *device, "gather");
      const auto n = static_cast<std::size_t>(comm->size());
      constexpr std::size_t kShare = std::size_t{24} << 20;
      std::vector<std::byte> out(n * kShare);
      comm->barrier();
      const auto start = std::chrono::steady_clock::now();
      Event event;
      for (int i = 0; i < 100; ++i)
        event = comm->all_gather(out.data(), out.data() + static_cast<std::size_t>(comm->rank()) * kShare, kShare, {});
      if (comm->rank() == comm->size() - 1) {
        usleep(20000);
        raise(SIGKILL);
      }
      try {
        comm->synchronize(event);
        require(false, "the collectives went on without the killed rank");
      } catch (const PeerFailed& error) {
        // By TCP a rank may see that another one has left before it sees why that left.
        const int named = way.make == tcp && comm->size() > 2 ? 0 : comm->size() - 1;
        require(named == 0 || std::string(error.what()).find(fmt::format("rank {} ", named)) == 0,
                "the wrong rank is named");
      }
      require(std::chrono::steady_clock::now() - start < std::chrono::seconds(2),
              "the death of a rank was noticed too late");
    };
    EXPECT_NO_THROW((way.run == run_processes ? run_process_ranks : run_tcp_process_ranks)(ranks, body, ranks - 1));
  }
}

TEST(Communicators, EndWithinTwoSecondsWhenARankIsKilled) {
  for (const Way& way : kWays)
    if (way.run == run_processes || way.run == run_tcp_processes) {
      SCOPED_TRACE(way.name);
      check_end_of_a_killed_rank(way);
    }
}

void for_every_way_of_threads(const std::function<void(Rendezvous&, const Way&)>& body) {
  for (const Way& way : kWays) {
    if (way.run != run_thread_ranks && way.run != run_tcp_thread_ranks) continue;
    SCOPED_TRACE(way.name);
    EXPECT_NO_THROW(way.run(2, [&](Rendezvous& rendezvous) { body(rendezvous, way); }));
  }
}

TEST(Communicators, NoticeRanksThatIssueDifferentCollectives) {
  for_every_way_of_threads([](Rendezvous& rendezvous, const Way& way) {
    const auto device = make_cpu_device({.threads = 1});
    const auto comm = way.make(rendezvous, *device, "mixed");
    const std::vector<std::size_t> offsets{0, 8, 16};
    std::vector<std::byte> in(16), out(16);
    const Event event = comm->rank() == 0 ? comm->all_gather(out.data(), in.data(), 8, {})
                                          : comm->all_to_all(out.data(), offsets, in.data(), offsets, {});
    bool thrown = false;
    try {
      comm->synchronize(event);
    } catch (const std::exception&) {
      thrown = true;
    }
    require(thrown, "ranks in different collectives were not noticed");
  });
}

TEST(Communicators, NoticeSharesThatRanksDoNotAgreeOn) {
  for_every_way_of_threads([](Rendezvous& rendezvous, const Way& way) {
    const auto device = make_cpu_device({.threads = 1});
    const auto comm = way.make(rendezvous, *device, "sizes");
    const std::size_t share = comm->rank() == 0 ? 8 : 10;
    std::vector<std::byte> out(20);
    bool thrown = false;
    try {
      comm->synchronize(
          comm->all_gather(out.data(), out.data() + static_cast<std::size_t>(comm->rank()) * share, share, {}));
      comm->barrier();
    } catch (const std::exception&) {
      thrown = true;
    }
    require(thrown, "different shares were not noticed");
  });
}

TEST(StagedTransport, AllocatesAllItsMemoryAtOnceAndCountsIt) {
  EXPECT_NO_THROW(run_thread_ranks(2, [](Rendezvous& rendezvous) {
    const auto device = make_cpu_device({.threads = 1});
    StagedTransport transport(rendezvous.make_transport(), *device, "staged");
    const MemoryUse before = device->memory(Tier::kPinned);
    require(before.now[static_cast<std::size_t>(Purpose::kCommunication)] == kStagingBytes,
            "the staging is not counted");
    constexpr std::size_t kShare = kStagingBytes + 1234;
    const std::vector<std::size_t> offsets{0, kShare, 2 * kShare};
    std::vector<std::byte> in(2 * kShare), out(2 * kShare);
    transport.all_gather(out.data(), in.data(), offsets);
    transport.all_to_all(out.data(), offsets, in.data(), offsets);
    const MemoryUse after = device->memory(Tier::kPinned);
    require(after.allocations == before.allocations, "a collective allocated memory");
  }));
}

}  // namespace
}  // namespace shardlora
