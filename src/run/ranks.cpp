#include "run/ranks.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <exception>

#include "backend/cpu/cpu_device.h"
#include "backend/gpu.h"
#include "base/available_memory.h"
#include "base/parallel.h"

namespace shardlora {
namespace {

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

// Threads of what this rank's host computes: the processors that it is bound to, shared fairly with the ranks that are
// bound to the same ones.
int threads_of_rank(Rendezvous& rendezvous) {
  const std::vector<int> mine = own_processors();
  const std::string place = fmt::format("{} {}", host_name(), fmt::join(mine, ","));
  const std::vector<std::string> places = rendezvous.exchange(place);
  const auto sharers = static_cast<int>(std::count(places.begin(), places.end(), place));
  return std::max(1, static_cast<int>(mine.size()) / sharers);
}

// The same on all ranks. A GPU that was asked for and is not there is an Error of one rank.
bool use_gpus(Rendezvous& rendezvous, const Recipe& recipe) {
  if (recipe.backend == Backend::kCpu) return false;
  const std::vector<std::string> obstacles = rendezvous.exchange(gpu_obstacle());
  const auto first = std::find_if(obstacles.begin(), obstacles.end(), [](const std::string& o) { return !o.empty(); });
  if (first == obstacles.end()) return true;
  const auto rank = first - obstacles.begin();
  if (recipe.backend == Backend::kCuda) {
    if (rank != rendezvous.rank()) throw PeerFailed(fmt::format("rank {} has no GPU", rank));
    fail("backend: cuda: {}{}; or set backend: cpu", rendezvous.size() == 1 ? "" : fmt::format("rank {}: ", rank),
         *first);
  }
  if (rendezvous.rank() == 0) spdlog::info("computing on the CPU: {}", *first);
  return false;
}

// What a rank of this host may take of a tier: where the recipe does not say it, its part of half of the memory that is
// available. On the CPU both tiers are this memory. 0, no limit, where nobody knows.
std::uint64_t or_default(std::uint64_t limit, const Rendezvous& rendezvous) {
  const std::optional<std::uint64_t> available = available_memory();
  if (limit > 0 || !available) return limit;
  return std::max(std::uint64_t{1}, *available / 2 / static_cast<std::uint64_t>(rendezvous.local_size()));
}

// The ranks of a host take its GPUs in turn; more ranks than GPUs share them.
std::unique_ptr<Device> gpu_of_rank(Rendezvous& rendezvous, const Recipe& recipe) {
  return make_gpu_device({.ordinal = rendezvous.local_rank() % gpu_count(),
                          .threads = threads_of_rank(rendezvous),
                          .device_limit = recipe.device_limit,
                          .host_limit = or_default(recipe.host_limit, rendezvous)});
}

// The least that a rank's device has of `dtype`, and the first rank where that is so.
struct LeastSupport {
  Support support = Support::kFast;
  std::size_t rank = 0;
};

LeastSupport least_support(DType dtype, Ranks& ranks) {
  LeastSupport least;
  const auto all = ranks.exchange({static_cast<double>(ranks.device->support(dtype))});
  for (std::size_t r = 0; r < all.size(); ++r) {
    const auto support = static_cast<Support>(all[r][0]);
    if (support < least.support) least = {support, r};
  }
  return least;
}

}  // namespace

Ranks::Ranks(Rendezvous& with, const Recipe& recipe) : rendezvous(with) {
  const bool gpus = use_gpus(rendezvous, recipe);
  device = gpus ? gpu_of_rank(rendezvous, recipe)
                : make_cpu_device({.threads = threads_of_rank(rendezvous),
                                   .device_limit = or_default(recipe.device_limit, rendezvous),
                                   .host_limit = or_default(recipe.host_limit, rendezvous),
                                   .mode = StreamMode::kInline,
                                   .seed = 0,
                                   .poison = false});
  devices = rendezvous.exchange(device->description());
  numerics = rendezvous.exchange(device->numerics());
  const auto other = std::find_if(numerics.begin(), numerics.end(), [&](const auto& n) { return n != numerics[0]; });
  if (rendezvous.rank() == 0 && other != numerics.end())
    spdlog::warn("rank 0 has {}; rank {} has {}. The run is right, but another number of ranks may give other bits",
                 numerics[0], other - numerics.begin(), *other);
  gathers = rendezvous.make_communicator(*device, "gathers");
  reductions = rendezvous.make_communicator(*device, "reductions");
  numbers_.emplace(*device, *reductions);
}

Ranks::~Ranks() {
  if (std::uncaught_exceptions() == 0) return;
  gathers->abort();
  reductions->abort();
}

std::vector<std::vector<double>> Ranks::exchange(const std::vector<double>& mine) {
  const std::span<const std::byte> all = numbers_->all_gather(std::as_bytes(std::span(mine)));
  std::vector<std::vector<double>> numbers(static_cast<std::size_t>(size()), std::vector<double>(mine.size()));
  const std::size_t bytes = mine.size() * sizeof(double);
  for (std::size_t r = 0; r < numbers.size(); ++r) std::memcpy(numbers[r].data(), all.data() + r * bytes, bytes);
  return numbers;
}

DType compute_dtype(const Recipe& recipe, Ranks& ranks) {
  struct Choice {
    DType dtype;
    UseDtype use;
    const char* key;
  };
  for (const Choice& c : {Choice{DType::kBF16, recipe.bf16, "bf16"}, Choice{DType::kF16, recipe.fp16, "fp16"}}) {
    const LeastSupport least = least_support(c.dtype, ranks);
    if (c.use == UseDtype::kYes && least.support == Support::kNone)
      fail("{}: true, but rank {} cannot compute in {} ({}); set {}: auto, which takes what all ranks have", c.key,
           least.rank, name_of(c.dtype), ranks.devices[least.rank], c.key);
    if (c.use == UseDtype::kYes || (c.use == UseDtype::kAuto && least.support == Support::kFast)) return c.dtype;
  }
  return DType::kF32;
}

}  // namespace shardlora
