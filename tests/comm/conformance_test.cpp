#include "comm/conformance.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <csignal>

#include "backend/cpu/cpu_device.h"
#include "base/error.h"
#include "comm/ranks.h"
#include "comm/single_rendezvous.h"

namespace shardlora {
namespace {

enum class Kind { kSingle, kThreads, kProcesses };

struct Case {
  Kind kind;
  int ranks;
  CommCheck check;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const CommCheck& check : comm_checks()) {
    all.push_back({Kind::kSingle, 1, check});
    for (int ranks = 1; ranks <= 4; ++ranks) all.push_back({Kind::kThreads, ranks, check});
    for (int ranks = 2; ranks <= 4; ++ranks) all.push_back({Kind::kProcesses, ranks, check});
  }
  return all;
}

void run(const CommCheck& check, Rendezvous& ranks) {
  CpuDevice device({.threads = 1, .mode = StreamMode::kDelayed, .seed = static_cast<std::uint64_t>(ranks.rank())});
  CommContext context{ranks, device, [&](const char* name) { return ranks.make_communicator(device, name); }};
  check.run(context);
}

class EveryCommunicator : public testing::TestWithParam<Case> {};

TEST_P(EveryCommunicator, KeepsItsPromise) {
  const auto& [kind, ranks, check] = GetParam();
  const auto body = [&check = check](Rendezvous& rendezvous) { run(check, rendezvous); };
  SingleRendezvous single;
  switch (kind) {
    case Kind::kSingle: EXPECT_NO_THROW(body(single)); break;
    case Kind::kThreads: EXPECT_NO_THROW(run_thread_ranks(ranks, body)); break;
    case Kind::kProcesses: EXPECT_NO_THROW(run_process_ranks(ranks, body)); break;
  }
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  const char* const kinds[] = {"Single", "Threads", "Processes"};
  return fmt::format("{}_{}{}", info.param.check.name, kinds[static_cast<int>(info.param.kind)], info.param.ranks);
}

INSTANTIATE_TEST_SUITE_P(Comm, EveryCommunicator, testing::ValuesIn(cases()), case_name);

// The last rank is killed while the others wait for its part of a collective; it stays a zombie until they are done.
TEST(Communicators, EndWithinTwoSecondsWhenARankIsKilled) {
  for (int ranks = 2; ranks <= 4; ++ranks) {
    const auto body = [](Rendezvous& rendezvous) {
      const auto device = make_cpu_device({.threads = 1});
      const auto comm = rendezvous.make_communicator(*device, "gather");
      const auto n = static_cast<std::size_t>(comm->size());
      constexpr std::size_t kShare = std::size_t{24} << 20;
      std::vector<std::size_t> offsets;
      for (std::size_t r = 0; r <= n; ++r) offsets.push_back(r * kShare);
      std::vector<std::byte> out(n * kShare);
      comm->barrier();
      const auto start = std::chrono::steady_clock::now();
      Event event;
      for (int i = 0; i < 100; ++i)
        event = comm->all_gather(out.data(), out.data() + offsets[static_cast<std::size_t>(comm->rank())], offsets, {});
      if (comm->rank() == comm->size() - 1) {
        usleep(20000);
        raise(SIGKILL);
      }
      try {
        comm->synchronize(event);
        require(false, "the collectives went on without the killed rank");
      } catch (const PeerFailed& error) {
        require(std::string(error.what()).find(fmt::format("rank {} ", comm->size() - 1)) == 0,
                "the wrong rank is named");
      }
      require(std::chrono::steady_clock::now() - start < std::chrono::seconds(2),
              "the death of a rank was noticed too late");
    };
    EXPECT_NO_THROW(run_process_ranks(ranks, body, ranks - 1));
  }
}

TEST(Communicators, NoticeRanksThatIssueDifferentCollectives) {
  const auto body = [](Rendezvous& rendezvous) {
    const auto device = make_cpu_device({.threads = 1});
    const auto comm = rendezvous.make_communicator(*device, "mixed");
    const std::vector<std::size_t> offsets{0, 8, 16};
    std::vector<std::byte> in(16), out(16);
    const Event event = comm->rank() == 0 ? comm->all_gather(out.data(), in.data(), offsets, {})
                                          : comm->all_to_all(out.data(), offsets, in.data(), offsets, {});
    bool thrown = false;
    try {
      comm->synchronize(event);
    } catch (const std::exception&) {
      thrown = true;
    }
    require(thrown, "ranks in different collectives were not noticed");
  };
  EXPECT_NO_THROW(run_thread_ranks(2, body));
}

TEST(Communicators, NoticeSharesThatRanksDoNotAgreeOn) {
  const auto body = [](Rendezvous& rendezvous) {
    const auto device = make_cpu_device({.threads = 1});
    const auto comm = rendezvous.make_communicator(*device, "sizes");
    const std::vector<std::size_t> offsets{0, 8, comm->rank() == 0 ? std::size_t{16} : std::size_t{20}};
    std::vector<std::byte> out(20);
    bool thrown = false;
    try {
      comm->synchronize(
          comm->all_gather(out.data(), out.data() + offsets[static_cast<std::size_t>(comm->rank())], offsets, {}));
      comm->barrier();
    } catch (const std::exception&) {
      thrown = true;
    }
    require(thrown, "different shares were not noticed");
  };
  EXPECT_NO_THROW(run_thread_ranks(2, body));
}

}  // namespace
}  // namespace shardlora
