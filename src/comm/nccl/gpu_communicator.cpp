#include "comm/gpu_communicator.h"

#include <cuda_runtime_api.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <set>

#include "backend/cuda/cuda_device.h"
#include "backend/cuda/cuda_error.h"
#include "base/error.h"
#include "comm/host_communicator.h"
#include "comm/nccl/nccl_communicator.h"
#include "comm/process.h"
#include "comm/staged_transport.h"

namespace shardlora {

namespace {

// The same text on two ranks if they use one card.
std::string card_of(const CudaDevice& device) {
  char bus[32] = {};
  cuda::check(cudaDeviceGetPCIBusId(bus, sizeof bus, device.ordinal()), "asking where the GPU is");
  return fmt::format("{} {}", host_identity(), bus);
}

// NCCL takes a card once only; from 2.30.3 on twice where its experimental switch says so.
bool nccl_takes_shared_cards(Rendezvous& rendezvous) {
  const char* const enabled = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  const bool mine = enabled != nullptr && *enabled == '1' && nccl::table().version >= nccl::kSharesCards;
  const std::vector<std::string> all = rendezvous.exchange(mine ? "yes" : "no");
  return std::all_of(all.begin(), all.end(), [](const std::string& word) { return word == "yes"; });
}

}  // namespace

std::unique_ptr<Communicator> make_gpu_communicator(Rendezvous& rendezvous, Device& device, const std::string& name) {
  auto* const gpu = dynamic_cast<CudaDevice*>(&device);
  CHECK(gpu != nullptr, "{} is not a GPU", device.description());
  const std::vector<std::string> cards = rendezvous.exchange(card_of(*gpu));
  const bool shared = std::set<std::string>(cards.begin(), cards.end()).size() < cards.size();
  if (!shared || nccl_takes_shared_cards(rendezvous))
    return std::make_unique<NcclCommunicator>(rendezvous, device, name);
  if (static std::once_flag said; rendezvous.rank() == 0)
    std::call_once(said, [] {
      spdlog::warn(
          "ranks share a GPU: its memory and speed too, and their traffic goes through host memory, since NCCL takes a "
          "GPU once");
    });
  return std::make_unique<HostCommunicator>(
      std::make_unique<StagedTransport>(rendezvous.make_transport(), device, name), device, name);
}

}  // namespace shardlora
