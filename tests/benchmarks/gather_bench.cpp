// How fast ranks of one host gather a unit, beside plain copies of as many bytes by the same processes at the same
// time: that is the speed of memory. Rounds of the two alternate; medians. Built with -DBENCHMARKS=ON, run by hand:
//   build/tests/gather_bench [ranks]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include "backend/cpu/cpu_device.h"
#include "benchmarks/timing.h"
#include "comm/ranks.h"

namespace shardlora {
namespace {

constexpr int kRounds = 15;

void measure(Rendezvous& rendezvous, std::size_t bytes) {
  CpuDevice device({.threads = 1, .mode = StreamMode::kQueued});
  const auto comm = rendezvous.make_communicator(device, "gathers");
  const auto ranks = static_cast<std::size_t>(comm->size());
  std::vector<std::byte> unit(bytes / ranks * ranks), source(bytes, std::byte{1});
  const std::vector<std::byte> share(bytes / ranks, std::byte{2});

  std::vector<double> gathers, copies;
  for (int round = 0; round < kRounds; ++round) {
    comm->barrier();
    gathers.push_back(
        seconds([&] { comm->synchronize(comm->all_gather(unit.data(), share.data(), share.size(), {})); }));
    comm->barrier();
    copies.push_back(seconds([&] { std::memcpy(unit.data(), source.data(), unit.size()); }));
  }
  if (comm->rank() != 0) return;
  const double gather = static_cast<double>(bytes) / median(gathers) / 1e9;
  const double copy = static_cast<double>(bytes) / median(copies) / 1e9;
  fmt::print("{:>6.1f} MB  gather {:>5.1f} GB/s  memcpy {:>5.1f} GB/s  ratio {:.2f}\n",
             static_cast<double>(bytes) / 1e6, gather, copy, gather / copy);
}

}  // namespace
}  // namespace shardlora

int main(int argc, char** argv) {
  const int ranks = argc > 1 ? std::atoi(argv[1]) : 2;
  fmt::print("{} ranks, each gets the whole unit; bytes a rank receives a second\n", ranks);
  std::fflush(stdout);
  for (const double megabytes : {0.1, 1.0, 4.0, 32.0, 256.0})
    shardlora::run_process_ranks(ranks, [&](shardlora::Rendezvous& rendezvous) {
      shardlora::measure(rendezvous, static_cast<std::size_t>(megabytes * 1e6));
      std::fflush(stdout);
    });
}
