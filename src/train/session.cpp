#include "train/session.h"

#include <sched.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <exception>

#include "backend/cpu/cpu_device.h"
#include "backend/gpu.h"
#include "base/philox.h"
#include "checkpoint/pack_unit.h"
#include "train/warm_up.h"

namespace shardlora {
namespace {

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

// Threads of this rank's kernels: the processors that it is bound to, shared fairly with the ranks that are bound to
// the same ones.
int threads_of_rank(Rendezvous& rendezvous) {
  cpu_set_t mine{};
  if (sched_getaffinity(0, sizeof mine, &mine) != 0)
    fail("cannot read which processors this rank may use: {}", std::strerror(errno));
  const std::string place =
      fmt::format("{} {}", host_name(), std::string(reinterpret_cast<const char*>(&mine), sizeof mine));
  const std::vector<std::string> places = rendezvous.exchange(place);
  const auto sharers = static_cast<int>(std::count(places.begin(), places.end(), place));
  return std::max(1, CPU_COUNT(&mine) / sharers);
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

// The ranks of a host take its GPUs in turn; more ranks than GPUs share them.
std::unique_ptr<Device> gpu_of_rank(const Rendezvous& rendezvous, const Recipe& recipe) {
  return make_gpu_device({.ordinal = rendezvous.local_rank() % gpu_count(),
                          .device_limit = recipe.device_limit,
                          .host_limit = recipe.host_limit});
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

// The same on all ranks: the first of bf16 and f16 that is asked for and there, or, where that is left open, that all
// ranks are fast in; else f32.
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

BaseFormats base_formats(const Recipe& recipe, DType dtype) {
  const Format other = dense_format(dtype);
  if (recipe.quantization.format == BaseFormat::kNone) return {other, other};
  return {{Codec::kNF4, static_cast<int>(recipe.quantization.group_size), recipe.quantization.double_quant}, other};
}

// Units are dealt round: each is read and quantised as a whole on one rank (its nested offsets are means over whole
// tensors), then sent to the owners of its pages. All ranks work at once, one unit each a round.
void load_base(const BaseModel& base, const Model& model, Device& device, ParamStore& store, Communicator& comm) {
  const auto ranks = static_cast<std::size_t>(comm.size()), rank = static_cast<std::size_t>(comm.rank());
  std::size_t largest = 0;
  for (std::size_t u = rank; u < store.units(); u += ranks) largest = std::max(largest, store.layout(u).frozen_bytes());
  const Buffer flat = device.allocate(largest, Tier::kPinned, Purpose::kFrozen);
  for (std::size_t round = 0; round < store.units(); round += ranks) {
    if (const std::size_t mine = round + rank; mine < store.units())
      pack_unit(base, model, mine, store.layout(mine), {flat.data(), store.layout(mine).frozen_bytes()});
    for (std::size_t root = 0; root < ranks && round + root < store.units(); ++root)
      store.scatter_frozen(round + root, static_cast<int>(root), root == rank ? flat.data() : nullptr, comm);
  }
}

}  // namespace

Ranks::Ranks(Rendezvous& rendezvous, const Recipe& recipe) {
  const bool gpus = use_gpus(rendezvous, recipe);
  device = gpus ? gpu_of_rank(rendezvous, recipe)
                : make_cpu_device({.threads = threads_of_rank(rendezvous),
                                   .device_limit = recipe.device_limit,
                                   .host_limit = recipe.host_limit,
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

Session::Session(Ranks& ranks, const Recipe& recipe, const BaseModel& base, const LoraConfig* adapter) {
  const DType dtype = compute_dtype(recipe, ranks);
  model = make_model(*ranks.device, base.config(), base_formats(recipe, dtype), adapter, dtype);
  base.check(*model);
  store = std::make_unique<ParamStore>(*ranks.device, ranks.rank(), ranks.size(), model->units(),
                                       Residence{Tier::kDevice, recipe.sharding});
  gather_in_every_size(*ranks.device, *ranks.gathers, largest_share(*store));
  load_base(base, *model, *ranks.device, *store, *ranks.reductions);
}

Tokenizer open_tokenizer(const BaseModel& base) {
  Tokenizer tokenizer = Tokenizer::open(base.path());
  if (tokenizer.vocab_size() > base.config().vocab)
    fail(
        "{}: the tokenizer has {} tokens, the model embeddings for {}; the files are not of one model, or tokens were "
        "added without resizing the model's embeddings",
        base.path().string(), tokenizer.vocab_size(), base.config().vocab);
  return tokenizer;
}

Session session_with_adapter(Ranks& ranks, const Recipe& recipe, const BaseModel& base, const std::string& directory) {
  if (directory.empty()) return {ranks, recipe, base, nullptr};
  Adapter adapter = read_adapter(directory);
  if (base.config().tied_embeddings) tie_saved_modules(adapter);
  Session session(ranks, recipe, base, &adapter.config);
  check_adapter(adapter, session.model->units());
  set_adapter(*session.store, adapter);
  return session;
}

void initialise_adapter(ParamStore& store, const Model& model, const BaseModel& base, std::uint64_t seed) {
  constexpr std::uint32_t kStream = 0x0ADA97E5;  // keeps these draws apart from other uses of the seed
  const PhiloxKey key{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  for (std::size_t u = 0; u < store.units(); ++u) {
    const UnitLayout& layout = store.layout(u);
    std::vector<float> elements(static_cast<std::size_t>(layout.trainable_elements()), 0.0F);
    const std::vector<ParamSpec>& params = layout.spec().params;
    for (std::size_t p = 0; p < params.size(); ++p) {
      if (trains_as_a_whole(params[p]))
        base.read(base.name_of(model, params[p]), params[p],
                  std::span(elements).subspan(static_cast<std::size_t>(layout.element_offset(p)),
                                              static_cast<std::size_t>(params[p].shape.numel())));
      if (!params[p].trainable || !params[p].name.ends_with("lora_A.weight")) continue;
      const float bound = 1.0F / std::sqrt(static_cast<float>(params[p].shape[1]));
      float* const a = elements.data() + layout.element_offset(p);
      for (std::uint32_t i = 0; i < params[p].shape.numel(); ++i) {
        const PhiloxBlock draw =
            philox(key, {i, static_cast<std::uint32_t>(u), static_cast<std::uint32_t>(p), kStream});
        a[i] = (2.0F * uniform(draw.v[0]) - 1.0F) * bound;
      }
    }
    store.set_trainable(u, elements.data());
  }
}

void set_adapter(ParamStore& store, const Adapter& adapter) {
  for (std::size_t u = 0; u < store.units(); ++u) {
    const UnitLayout& layout = store.layout(u);
    std::vector<float> elements(static_cast<std::size_t>(layout.trainable_elements()));
    for (std::size_t p = 0; p < layout.spec().params.size(); ++p) {
      const ParamSpec& param = layout.spec().params[p];
      if (!param.trainable) continue;
      const std::vector<float>& values = adapter.tensors.at(param.name).values;
      std::copy(values.begin(), values.end(), elements.begin() + layout.element_offset(p));
    }
    store.set_trainable(u, elements.data());
  }
}

Adapter collect_adapter(const ParamStore& store, Communicator& comm, const LoraConfig& config,
                        const std::string& base_model) {
  Adapter adapter;
  adapter.config = config;
  adapter.base_model_name = base_model;
  adapter.tied = config.saves("embed_tokens") && config.saves("lm_head") &&
                 store.layout(store.units() - 1).spec().name != "lm_head";
  for (std::size_t u = 0; u < store.units(); ++u) {
    const UnitLayout& layout = store.layout(u);
    std::vector<float> elements(static_cast<std::size_t>(layout.trainable_elements()));
    store.gather_trainable(u, elements.data(), comm);
    for (std::size_t p = 0; p < layout.spec().params.size(); ++p) {
      const ParamSpec& param = layout.spec().params[p];
      if (!param.trainable) continue;
      const auto begin = elements.begin() + layout.element_offset(p);
      adapter.tensors[param.name] = {param.shape, {begin, begin + param.shape.numel()}};
    }
  }
  return adapter;
}

}  // namespace shardlora
