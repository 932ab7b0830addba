// How long the host is held by a collective of NCCL's communicator: over the stand-ins of CUDA and NCCL, which accepts
// a group after FAKE_NCCL_LAUNCH_US (30 where it is not set), about what NCCL's own thread takes. No GPU needed; built
// with -DBENCHMARKS=ON, run by hand on an idle machine:
//   build/tests/collective_bench
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include "backend/gpu.h"
#include "comm/nccl/nccl_communicator.h"
#include "comm/ranks.h"

namespace shardlora {
namespace {

constexpr int kCollectives = 2000, kUnderWay = 16;
constexpr std::size_t kShare = 4096;

void measure(Rendezvous& ranks) {
  const std::unique_ptr<Device> gpu = make_gpu_device({.ordinal = ranks.rank()});
  NcclCommunicator comm(ranks, *gpu, "gathers");
  const Buffer out =
      gpu->allocate(kShare * static_cast<std::size_t>(comm.size()), Tier::kDevice, Purpose::kCommunication);
  const std::byte* const mine = out.data() + kShare * static_cast<std::size_t>(comm.rank());
  std::vector<double> held;
  for (int i = 0; i < kCollectives; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const Event event = comm.all_gather(out.data(), mine, kShare, {});
    held.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
    if (i % kUnderWay == kUnderWay - 1) comm.synchronize(event);
  }
  std::sort(held.begin(), held.end());
  if (comm.rank() == 0)
    fmt::print("a collective holds the host for {:.0f} us (median of {}), {:.0f} us (90 %)\n", held[held.size() / 2],
               held.size(), held[held.size() * 9 / 10]);
}

}  // namespace
}  // namespace shardlora

int main() {
  setenv("SHARDLORA_NCCL_LIBRARY", FAKE_NCCL, 1);
  setenv("SHARDLORA_CUBLASLT_LIBRARY", FAKE_CUBLASLT, 1);
  setenv("EMULATED_CUDA_DEVICES", "2", 1);
  setenv("FAKE_NCCL_LAUNCH_US", "30", 0);
  shardlora::run_thread_ranks(2, shardlora::measure);
}
