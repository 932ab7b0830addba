// NCCL's communicator, its own code, over a stand-in for NCCL on emulated GPUs (emulation/fake_nccl.cpp).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include "backend/cuda/cuda_device.h"
#include "base/error.h"
#include "comm/conformance.h"
#include "comm/host_communicator.h"
#include "comm/nccl/emulated_gpu.h"
#include "comm/nccl/nccl_communicator.h"
#include "comm/ranks.h"
#include "comm/staged_transport.h"
#include "emulation/fake_nccl.h"
#include "emulation/runtime.h"

namespace shardlora {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// Before anything loads a library or looks at a device.
[[maybe_unused]] const int environment = setenv("SHARDLORA_NCCL_LIBRARY", FAKE_NCCL_LIBRARY, 1) +
                                         setenv("SHARDLORA_CUBLASLT_LIBRARY", FAKE_CUBLASLT, 1) +
                                         setenv("EMULATED_CUDA_DEVICES", "4", 1);

using Body = std::function<void(Rendezvous&, Device&)>;

// Each rank with the GPU of its number.
std::function<void(Rendezvous&)> on_gpus(const Body& body) {
  return [body](Rendezvous& ranks) {
    EmulatedGpu gpu(ranks.rank());
    body(ranks, gpu);
  };
}

void check_conformance(const CommCheck& check, Rendezvous& ranks, Device& gpu, bool staged) {
  CommContext context{ranks, gpu, [&](const char* name) -> std::unique_ptr<Communicator> {
                        if (!staged) return std::make_unique<NcclCommunicator>(ranks, gpu, name);
                        auto transport = std::make_unique<StagedTransport>(ranks.make_transport(), gpu, name, 1 << 20);
                        return std::make_unique<HostCommunicator>(std::move(transport), gpu, name);
                      }};
  check.run(context);
}

// Memory of the device for shares of 1000 bytes.
struct Shares {
  Shares(Rendezvous& ranks, Device& gpu)
      : out(gpu.allocate(1000 * static_cast<std::size_t>(ranks.size()), Tier::kDevice, Purpose::kWorkspace)) {
    for (int r = 0; r <= ranks.size(); ++r) offsets.push_back(1000 * static_cast<std::size_t>(r));
  }
  std::byte* mine(const Communicator& comm) const { return out.data() + 1000 * comm.rank(); }
  Event gather(Communicator& comm, Event after = {}) const {
    return comm.all_gather(out.data(), mine(comm), 1000, after);
  }
  Buffer out;
  std::vector<std::size_t> offsets;
};

// --- Processes come first: they are forked, and the emulation keeps threads once it has been used.

TEST(NcclProcesses, KeepEveryPromise) {
  for (const CommCheck& check : comm_checks())
    for (const int ranks : {2, 3}) {
      SCOPED_TRACE(fmt::format("{} on {} ranks", check.name, ranks));
      EXPECT_NO_THROW(run_process_ranks(
          ranks, on_gpus([&](Rendezvous& all, Device& gpu) { check_conformance(check, all, gpu, false); })));
    }
}

TEST(NcclProcesses, EndSoonWhenARankIsKilled) {
  EXPECT_NO_THROW(run_process_ranks(3, on_gpus([](Rendezvous& ranks, Device& gpu) {
                                      const auto comm = std::make_unique<NcclCommunicator>(ranks, gpu, "gather");
                                      const Shares shares(ranks, gpu);
                                      comm->synchronize(shares.gather(*comm));
                                      ranks.exchange({});
                                      if (ranks.rank() == 2) raise(SIGKILL);
                                      const auto start = std::chrono::steady_clock::now();
                                      std::string message;
                                      try {
                                        comm->synchronize(shares.gather(*comm));
                                      } catch (const PeerFailed& error) {
                                        message = error.what();
                                      }
                                      require(message.find("rank 2 ") == 0, "the killed rank is not named");
                                      require(std::chrono::steady_clock::now() - start < std::chrono::seconds(2),
                                              "noticed too late");
                                    }),
                                    2));
}

// --- Threads.

struct Case {
  CommCheck check;
  int ranks;
  bool staged;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const CommCheck& check : comm_checks())
    for (int ranks = 1; ranks <= 4; ++ranks)
      for (const bool staged : {false, true}) all.push_back({check, ranks, staged});
  return all;
}

class GpuCommunicator : public testing::TestWithParam<Case> {};

TEST_P(GpuCommunicator, KeepsItsPromise) {
  const auto& [check, ranks, staged] = GetParam();
  EXPECT_NO_THROW(run_thread_ranks(ranks, on_gpus([&check = check, staged = staged](Rendezvous& all, Device& gpu) {
                                     check_conformance(check, all, gpu, staged);
                                   })));
}

INSTANTIATE_TEST_SUITE_P(Comm, GpuCommunicator, testing::ValuesIn(cases()), [](const auto& info) {
  return fmt::format("{}_{}{}", info.param.check.name, info.param.staged ? "Staged" : "Nccl", info.param.ranks);
});

// What each of two ranks threw in `body`, PeerFailed as "peer: ...".
std::vector<std::string> errors_of(const Body& body) {
  std::vector<std::string> errors(2);
  run_thread_ranks(2, on_gpus([&](Rendezvous& ranks, Device& gpu) {
                     std::string& error = errors[static_cast<std::size_t>(ranks.rank())];
                     try {
                       body(ranks, gpu);
                     } catch (const PeerFailed& e) {
                       error = std::string("peer: ") + e.what();
                     } catch (const std::exception& e) {
                       error = e.what();
                     }
                     ranks.exchange({});
                   }));
  emulation::fail_no_call();
  return errors;
}

// A gather and an all_to_all; `limits` as given.
Body collectives(const NcclLimits& limits = {}) {
  return [limits](Rendezvous& ranks, Device& gpu) {
    NcclCommunicator comm(ranks, gpu, "world", limits);
    const Shares shares(ranks, gpu);
    const Buffer other = gpu.allocate(4000, Tier::kDevice, Purpose::kWorkspace);
    comm.synchronize(shares.gather(comm));
    comm.synchronize(comm.all_to_all(other.data(), shares.offsets, shares.out.data(), shares.offsets, {}));
    comm.barrier();
  };
}

TEST(Nccl, TellsWhatWentWrongInEveryCallAndTheOtherRankEnds) {
  EXPECT_THAT(errors_of(collectives()), testing::ElementsAre("", ""));
  for (const char* call : {"ncclCommInitRankConfig", "ncclGroupStart", "ncclGroupEnd", "ncclAllGather", "ncclSend",
                           "ncclRecv", "ncclCommGetAsyncError"}) {
    SCOPED_TRACE(call);
    emulation::fail_call(call, 1, nccl::kSystemError);
    const std::vector<std::string> errors = errors_of(collectives());
    const std::string& own = errors[errors[0].starts_with("peer: ") ? 1 : 0];
    const std::string& others = errors[errors[0].starts_with("peer: ") ? 0 : 1];
    EXPECT_THAT(own, HasSubstr("NCCL: "));
    EXPECT_THAT(own, HasSubstr("NCCL_DEBUG=INFO"));
    EXPECT_THAT(others, HasSubstr("stopped, so this rank stops as well"));
  }
}

// Since 2.24 NCCL takes memory of the host in a way that common containers refuse.
TEST(Nccl, TellsWhatHelpsInAContainer) {
  emulation::fail_call("ncclCommInitRankConfig", 1, nccl::kSystemError);
  const std::vector<std::string> errors = errors_of(collectives());
  EXPECT_THAT(errors[0] + errors[1], HasSubstr("NCCL_CUMEM_HOST_ENABLE=0"));
  EXPECT_THAT(errors[0] + errors[1], HasSubstr("--shm-size=1g"));
}

TEST(Nccl, TellsWhatFailsWhileItIsAtWork) {
  emulation::fail_call("ncclAllGather", 1, fake_nccl::kFailLater);
  const std::vector<std::string> errors = errors_of(collectives());
  // Seen by whoever looks first: the watcher, or the call, which looks until NCCL has accepted it.
  EXPECT_THAT(errors[0] + errors[1], testing::AnyOf(HasSubstr("NCCL: a collective: fake error; NCCL_DEBUG=INFO"),
                                                    HasSubstr("NCCL: all_gather: fake error; NCCL_DEBUG=INFO")));
  EXPECT_THAT(errors[0] + errors[1], HasSubstr("peer: "));
}

TEST(Nccl, BlamesTheRankThatStoppedForABrokenConnection) {
  const std::vector<std::string> errors = errors_of([](Rendezvous& ranks, Device& gpu) {
    NcclCommunicator comm(ranks, gpu, "world");
    const Shares shares(ranks, gpu);
    comm.synchronize(shares.gather(comm));
    ranks.exchange({});
    if (ranks.rank() == 1) {
      usleep(50000);
      fail("a bad row");
    }
    emulation::fail_call("ncclAllGather", 1, nccl::kRemoteError);
    comm.synchronize(shares.gather(comm));
  });
  EXPECT_THAT(errors, testing::ElementsAre(HasSubstr("peer: rank 1 stopped"), "a bad row"));
}

TEST(Nccl, GivesUpWhereRanksDoNotConnect) {
  emulation::fail_call("ncclCommInitRankConfig", 1, fake_nccl::kHang);
  const auto start = std::chrono::steady_clock::now();
  const std::vector<std::string> errors = errors_of(collectives({milliseconds(300), milliseconds(1000)}));
  EXPECT_THAT(errors[0] + errors[1], HasSubstr("connecting the ranks: nothing happened for 0.3 s"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

// A collective that never ends on one rank; the other one stops.
TEST(Nccl, EndsACollectiveThatHangsWhenAnotherRankStops) {
  emulation::fail_call("ncclAllGather", 1, fake_nccl::kHang);
  const auto start = std::chrono::steady_clock::now();
  const std::vector<std::string> errors = errors_of([](Rendezvous& ranks, Device& gpu) {
    const Shares shares(ranks, gpu);  // freed after the communicator: that waits for the GPU
    NcclCommunicator comm(ranks, gpu, "world");
    const Event event = shares.gather(comm);
    usleep(100000);
    if (ranks.rank() == 1) fail("a bad row");
    comm.synchronize(event);
    comm.synchronize(shares.gather(comm));
  });
  EXPECT_THAT(errors, testing::ElementsAre(HasSubstr("peer: rank 1 stopped"), "a bad row"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Nccl, DoesNotWaitForAnAbortThatHangs) {
  emulation::fail_call("ncclCommAbort", 1, fake_nccl::kHang);
  const auto start = std::chrono::steady_clock::now();
  const std::vector<std::string> errors = errors_of([](Rendezvous& ranks, Device& gpu) {
    const Shares shares(ranks, gpu);
    NcclCommunicator comm(ranks, gpu, "world", {milliseconds(5000), milliseconds(200)});
    comm.synchronize(shares.gather(comm));
    if (ranks.rank() == 1) fail("a bad row");
    comm.barrier();
  });
  EXPECT_THAT(errors, testing::ElementsAre(HasSubstr("peer: rank 1 stopped"), "a bad row"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Nccl, RefusesTwoRanksOnOneCard) {
  std::vector<std::string> errors(2);
  run_thread_ranks(2, [&](Rendezvous& ranks) {
    EmulatedGpu gpu(0);
    try {
      NcclCommunicator comm(ranks, gpu, "world");
    } catch (const std::exception& error) {
      errors[static_cast<std::size_t>(ranks.rank())] = error.what();
    }
    ranks.exchange({});
  });
  EXPECT_THAT(errors[0] + errors[1], HasSubstr("has each rank a GPU of its own"));
}

// What the program calls, on the program's own device.
TEST(GpuRanks, UseNcclOnCardsOfTheirOwnAndHostMemoryOnASharedOne) {
  for (const bool shared : {false, true}) {
    SCOPED_TRACE(shared);
    EXPECT_NO_THROW(run_thread_ranks(2, [&](Rendezvous& ranks) {
      CudaDevice gpu({.ordinal = shared ? 0 : ranks.rank()});
      const auto comm = ranks.make_communicator(gpu, "world");
      const bool nccl = dynamic_cast<NcclCommunicator*>(comm.get()) != nullptr;
      require(nccl != shared, "not the communicator that the cards allow");
      CommContext context{ranks, gpu, [&](const char* name) { return ranks.make_communicator(gpu, name); }};
      for (const CommCheck& check : comm_checks()) check.run(context);
    }));
  }
}

// --- That these tests can fail.

// What rank 0 sees of rank 1's share when one of the waits is left out.
bool sees_the_share(bool wait_before, bool wait_after) {
  bool seen = false;
  run_thread_ranks(2, on_gpus([&](Rendezvous& ranks, Device& gpu) {
                     NcclCommunicator comm(ranks, gpu, "world");
                     const Shares shares(ranks, gpu);
                     const auto produce = gpu.make_stream("produce"), consume = gpu.make_stream("consume");
                     const Buffer one = gpu.allocate(1000, Tier::kPinned, Purpose::kWorkspace),
                                  got = gpu.allocate(1000, Tier::kPinned, Purpose::kWorkspace);
                     std::fill_n(one.data(), 1000, std::byte{1});
                     emulation::dawdle(dynamic_cast<CudaStream&>(*produce).native(), 20000);
                     gpu.copy(shares.mine(comm), one.data(), 1000, *produce);
                     const Event event = shares.gather(comm, wait_before ? produce->record() : Event{});
                     if (wait_after) consume->wait(event);
                     gpu.copy(got.data(), shares.out.data() + 1000, 1000, *consume);
                     consume->synchronize();
                     if (ranks.rank() == 0) seen = got.data()[0] == std::byte{1} && got.data()[999] == std::byte{1};
                     comm.synchronize(event);
                     produce->synchronize();
                   }));
  return seen;
}

TEST(PlantedBug, AMissingWaitShows) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer reports the planted race itself";
#endif
  EXPECT_TRUE(sees_the_share(true, true));
  EXPECT_FALSE(sees_the_share(false, true));
  EXPECT_FALSE(sees_the_share(true, false));
}

// Runs in a process of its own: the stand-in ends it.
void issue(const std::function<void(Communicator&, const Shares&)>& collective) {
  run_thread_ranks(2, on_gpus([&](Rendezvous& ranks, Device& gpu) {
                     NcclCommunicator comm(ranks, gpu, "world");
                     const Shares shares(ranks, gpu);
                     collective(comm, shares);
                     comm.barrier();
                   }));
}

TEST(PlantedBugDeathTest, RanksThatIssueDifferentCollectivesAreNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(issue([](Communicator& comm, const Shares& shares) {
                 const Buffer& out = shares.out;
                 comm.synchronize(comm.rank() == 0
                                      ? shares.gather(comm)
                                      : comm.all_to_all(out.data(), shares.offsets, out.data(), shares.offsets, {}));
               }),
               "rank . expects nccl.* from rank ., which is in nccl");
  EXPECT_DEATH(issue([](Communicator& comm, const Shares& shares) {
                 const std::size_t share = comm.rank() == 0 ? 1000 : 500;
                 comm.synchronize(comm.all_gather(shares.out.data(), shares.mine(comm), share, {}));
               }),
               "ncclAllGather of 1000 bytes.*ncclAllGather of 500 bytes|ncclAllGather of 500 bytes.*of 1000 bytes");
}

// Two communicators a rank, one collective of each, issued in the same order on both ranks. True where they wait for
// each other for ever: rank 0's GPU has begun with the first one, rank 1's with the second.
bool hangs(bool in_any_order) {
  std::atomic<bool> stuck{false};
  run_thread_ranks(2, on_gpus([&](Rendezvous& ranks, Device& gpu) {
                     const Shares first(ranks, gpu), second(ranks, gpu);
                     const auto peers = ranks.make_transport();
                     CudaStream stream(ranks.rank()), other(ranks.rank());
                     NcclComm one(ranks, *peers, {}), two(ranks, *peers, {});
                     // Long enough for the host to issue both, on a busy machine too.
                     if (in_any_order) emulation::dawdle((ranks.rank() == 0 ? other : stream).native(), 300000);
                     const auto gather = [&](NcclComm& comm, const Shares& shares, CudaStream& on) {
                       comm.run("all_gather", [&](NcclComm::Group& group) {
                         group.add(comm.nccl().all_gather(shares.out.data() + 1000 * ranks.rank(), shares.out.data(),
                                                          1000, nccl::kUint8, comm.native(), on.native()));
                       });
                       return on.record();
                     };
                     CudaStream& second_stream = in_any_order ? other : stream;
                     const Event gathered = gather(one, first, stream), last = gather(two, second, second_stream);
                     const auto done = [&] { return stream.done(gathered) && second_stream.done(last); };
                     for (int i = 0; i < 3000 && !done(); ++i) usleep(1000);
                     if (!done()) stuck = true;
                     ranks.exchange({});
                     one.end(!stuck);
                     two.end(!stuck);
                   }));
  return stuck;
}

// The same through our communicators, several times.
void gather_on_two_communicators() {
  run_thread_ranks(2, on_gpus([&](Rendezvous& ranks, Device& gpu) {
                     NcclCommunicator one(ranks, gpu, "one"), two(ranks, gpu, "two");
                     const Shares first(ranks, gpu), second(ranks, gpu);
                     Event last{};
                     for (int i = 0; i < 20; ++i) {
                       first.gather(one);
                       last = second.gather(two);
                     }
                     two.synchronize(last);
                   }));
}

// A library is loaded once in a process, so each has one of its own. It is killed where it hangs.
struct Order {
  const char *version, *asked;  // asked: NCCL_LAUNCH_ORDER_IMPLICIT, where the user sets it
  bool kept;                    // by NCCL
};

TEST(NcclOrderDeathTest, IsKeptByNcclOrByOneStreamForAllCommunicatorsOfAGpu) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto check = [](const Order& order) {
    alarm(60);
    setenv("FAKE_NCCL_VERSION", order.version, 1);
    if (order.asked != nullptr) setenv("NCCL_LAUNCH_ORDER_IMPLICIT", order.asked, 1);
    const bool kept = nccl::table().orders_launches, any_order = hangs(true), one_stream = hangs(false);
    gather_on_two_communicators();
    std::fprintf(stderr, "kept %d, hangs in any order %d, on one stream %d", kept, any_order, one_stream);
    std::_Exit(0);
  };
  for (const Order& order : {Order{"22506", nullptr, false}, Order{"22506", "1", false}, Order{"22602", "0", false},
                             Order{"22602", nullptr, true}}) {
    SCOPED_TRACE(fmt::format("NCCL {}, {}", order.version, order.asked == nullptr ? "unset" : order.asked));
    EXPECT_EXIT(check(order), testing::ExitedWithCode(0),
                fmt::format("kept {:d}, hangs in any order {:d}, on one stream 0", order.kept, !order.kept));
  }
}

TEST(NcclTableDeathTest, SaysWhatIsMissingOrTooOld) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto tell = [](const char* variable, const char* value) {
    setenv(variable, value, 1);
    try {
      nccl::table();
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      std::exit(3);
    }
    std::exit(0);
  };
  EXPECT_EXIT(tell("FAKE_NCCL_VERSION", "21003"), testing::ExitedWithCode(3), "is NCCL 2.10.3; .*2.18 or later");
  EXPECT_EXIT(tell("FAKE_NCCL_VERSION", "2708"), testing::ExitedWithCode(3), "is NCCL 2.7.8; ");
  EXPECT_EXIT(tell("SHARDLORA_NCCL_LIBRARY", "/nowhere/libnccl.so.2"), testing::ExitedWithCode(3),
              "SHARDLORA_NCCL_LIBRARY=/nowhere/libnccl.so.2: cannot be loaded");
}

}  // namespace
}  // namespace shardlora
