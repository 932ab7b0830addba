#include "comm/tcp_rendezvous.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "backend/cpu/cpu_device.h"
#include "base/error.h"
#include "comm/ranks.h"

namespace shardlora {
namespace {

using std::chrono::milliseconds;

struct Started {
  TcpRank rank;
  std::string version = "1.0";
  milliseconds patience{20000};
};

// What each rank's start, and `then`, threw; empty where it went well.
std::vector<std::string> errors_of(
    const std::vector<Started>& ranks, const std::function<void(Rendezvous&)>& then = [](Rendezvous&) {}) {
  std::vector<std::string> errors(ranks.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < ranks.size(); ++i)
    threads.emplace_back([&, i] {
      try {
        TcpRendezvous rendezvous(ranks[i].rank, ranks[i].version, ranks[i].patience);
        then(rendezvous);
      } catch (const std::exception& error) {
        errors[i] = error.what();
      }
    });
  for (std::thread& thread : threads) thread.join();
  return errors;
}

TcpRank rank_of(int rank, int size, int port, int local_rank = -1, int local_size = -1) {
  return {rank, size, local_rank, local_size, "127.0.0.1", port};
}

using testing::ElementsAre;
using testing::HasSubstr;

TEST(TcpRendezvous, FindsRanksThatComeInAnyOrder) {
  const int port = free_port();
  const auto check = [](Rendezvous& ranks) {
    EXPECT_EQ(ranks.local_rank(), ranks.rank());
    EXPECT_EQ(ranks.local_size(), 3);
    EXPECT_THAT(ranks.exchange(fmt::format("rank {}", ranks.rank())), ElementsAre("rank 0", "rank 1", "rank 2"));
  };
  EXPECT_THAT(errors_of({{rank_of(2, 3, port)}, {rank_of(1, 3, port)}, {rank_of(0, 3, port)}}, check),
              ElementsAre("", "", ""));
}

TEST(TcpRendezvous, TakesTheLaunchersWordOnWhoIsLocal) {
  const int port = free_port();
  const auto check = [](Rendezvous& ranks) {
    EXPECT_EQ(ranks.local_rank(), 0);
    EXPECT_EQ(ranks.local_size(), 1);
    // Several hosts to the launcher: bytes go by TCP.
    const auto device = make_cpu_device({.threads = 1});
    ranks.make_communicator(*device, "world")->barrier();
  };
  EXPECT_THAT(errors_of({{rank_of(0, 2, port, 0, 1)}, {rank_of(1, 2, port, 0, 1)}}, check), ElementsAre("", ""));
}

TEST(TcpRendezvous, RefusesLocalRanksThatContradict) {
  const int port = free_port();
  const std::vector<std::string> errors = errors_of({{rank_of(0, 2, port, 0, 3)}, {rank_of(1, 2, port, 1, 3)}});
  EXPECT_THAT(errors[0], HasSubstr("LOCAL_RANK=0 and LOCAL_WORLD_SIZE=3, but 2 of the 2 ranks run on this host"));
  const int other = free_port();
  EXPECT_THAT(errors_of({{rank_of(0, 2, other)}, {rank_of(1, 2, other, 1, 2)}})[0],
              HasSubstr("LOCAL_RANK is set for some ranks and not for rank 0"));
}

TEST(TcpRendezvous, NamesTheRanksThatDoNotCome) {
  const int port = free_port();
  const auto errors =
      errors_of({{rank_of(0, 4, port), "1.0", milliseconds(300)}, {rank_of(2, 4, port), "1.0", milliseconds(300)}});
  EXPECT_THAT(errors[0], HasSubstr(fmt::format("127.0.0.1:{}, but of 4 ranks these did not come: 1, 3", port)));
  EXPECT_THAT(errors[1], HasSubstr("rank 0 stopped"));
}

TEST(TcpRendezvous, SaysWhereNobodyAnswers) {
  const int port = free_port();
  EXPECT_THAT(errors_of({{rank_of(1, 2, port), "1.0", milliseconds(200)}})[0],
              HasSubstr(fmt::format("rank 1: rank 0 does not answer at 127.0.0.1:{} after 0.2", port)));
}

TEST(TcpRendezvous, SaysThatThePortIsInUse) {
  int error = 0;
  const Socket taken = listen_at("127.0.0.1", 0, error);
  const int port = taken.local().port;
  EXPECT_THAT(errors_of({{rank_of(0, 2, port)}})[0], HasSubstr(fmt::format("port {} of 127.0.0.1 is in use", port)));
}

TEST(TcpRendezvous, SaysThatTheAddressIsNotHere) {
  TcpRank rank = rank_of(0, 2, free_port());
  rank.address = "192.0.2.1";  // of no machine: RFC 5737
  EXPECT_THAT(errors_of({{rank}})[0], HasSubstr("MASTER_ADDR has to be an address of this machine"));
}

TEST(TcpRendezvous, RefusesTwoRanksOfTheSameNumber) {
  const int port = free_port();
  const auto errors = errors_of({{rank_of(0, 3, port)}, {rank_of(1, 3, port)}, {rank_of(1, 3, port)}});
  EXPECT_THAT(errors[0], HasSubstr("two processes were started with RANK=1"));
}

TEST(TcpRendezvous, RefusesAnotherWorldSizeAndAnotherVersion) {
  int port = free_port();
  for (const std::string& error : errors_of({{rank_of(0, 2, port)}, {rank_of(1, 3, port)}}))
    EXPECT_THAT(error, HasSubstr("rank 1 was started with WORLD_SIZE=3, rank 0 with 2"));
  port = free_port();
  for (const std::string& error : errors_of({{rank_of(0, 2, port)}, {rank_of(1, 2, port), "2.0"}}))
    EXPECT_THAT(error, HasSubstr("rank 1 runs shardlora 2.0, rank 0 1.0"));
}

TEST(TcpRendezvous, SendsStrangersAway) {
  const int port = free_port();
  std::thread strangers([&] {
    int error = 0;
    for (const char* text :
         {"GET / HTTP/1.1\r\n\r\n and enough bytes to be as long as a hello, and then some more of them", ""}) {
      Socket socket;
      while (!socket.open()) socket = connect_to("127.0.0.1", port, error);
      socket.send(text, strlen(text));
    }
  });
  std::thread late;
  std::vector<std::string> errors;
  std::thread first([&] { errors = errors_of({{rank_of(0, 2, port)}}); });
  strangers.join();
  EXPECT_THAT(errors_of({{rank_of(1, 2, port)}}), ElementsAre(""));
  first.join();
  EXPECT_THAT(errors, ElementsAre(""));
}

TEST(TcpRendezvous, NamesTheRankThatStoppedInAnExchange) {
  const int port = free_port();
  const auto errors =
      errors_of({{rank_of(0, 3, port)}, {rank_of(1, 3, port)}, {rank_of(2, 3, port)}}, [](Rendezvous& ranks) {
        if (ranks.rank() == 2) return ranks.abort(1);
        ranks.exchange("waiting");
      });
  EXPECT_THAT(errors, ElementsAre(HasSubstr("rank 2 stopped"), HasSubstr("rank 2 stopped"), ""));
}

}  // namespace
}  // namespace shardlora
