#include "run/loaded_model.h"

#include <algorithm>

#include "base/available_memory.h"
#include "base/parallel.h"
#include "checkpoint/adapter_state.h"
#include "checkpoint/pack_unit.h"
#include "run/base_formats.h"
#include "run/prepared_copy.h"
#include "shard/warm_up.h"

namespace shardlora {
namespace {

// Units are dealt round: each is read and quantised as a whole on one rank (its nested offsets are means over whole
// tensors), then sent to the owners of its pages. All ranks work at once, one unit each a round.
void load_base(const BaseModel& base, Device& device, ParamStore& store, Communicator& comm) {
  const auto ranks = static_cast<std::size_t>(comm.size()), rank = static_cast<std::size_t>(comm.rank());
  std::size_t largest = 0;
  for (std::size_t u = rank; u < store.units(); u += ranks) largest = std::max(largest, store.layout(u).frozen_bytes());
  const Buffer flat = device.allocate(largest, Tier::kPinned, Purpose::kFrozen);
  for (std::size_t round = 0; round < store.units(); round += ranks) {
    if (const std::size_t mine = round + rank; mine < store.units() && store.tier(mine) != Tier::kDisk)
      pack_unit(base, store.layout(mine), {flat.data(), store.layout(mine).frozen_bytes()});
    for (std::size_t root = 0; root < ranks && round + root < store.units(); ++root)
      if (store.tier(round + root) != Tier::kDisk)
        store.scatter_frozen(round + root, static_cast<int>(root), root == rank ? flat.data() : nullptr, comm);
  }
}

// Bytes [begin, begin + out.size()) of a unit, on all cores.
void read_share(const BaseModel& base, const UnitLayout& layout, std::size_t begin, std::span<std::byte> out) {
  constexpr std::size_t kPiece = std::size_t{8} << 20;
  parallel_for((out.size() + kPiece - 1) / kPiece, available_processors(), [&](std::size_t i) {
    const std::size_t at = i * kPiece;
    pack_share(base, layout, begin + at, out.subspan(at, std::min(kPiece, out.size() - at)));
  });
}

constexpr std::size_t kLoadedBlock = std::size_t{64} << 20;  // bytes of a prepared base on their way to the device

// Every rank reads what rests on it, and nothing is sent.
void load_prepared(const BaseModel& base, Device& device, ParamStore& store) {
  const Buffer block = device.allocate(kLoadedBlock, Tier::kPinned, Purpose::kFrozen);
  for (std::size_t u = 0; u < store.units(); ++u) {
    const auto [begin, end] = store.resting(u);
    if (store.tier(u) == Tier::kPinned) read_share(base, store.layout(u), begin, {store.frozen(u), end - begin});
    if (store.tier(u) != Tier::kDevice) continue;
    for (std::size_t at = begin; at < end; at += kLoadedBlock) {
      const std::span<std::byte> here(block.data(), std::min(kLoadedBlock, end - at));
      read_share(base, store.layout(u), at, here);
      store.set_resting(u, at, here);
    }
  }
}

// Takes what loading and saving take beside `store` for a while, and gives it back: the larger ways of load_base, and
// of setting and gathering what trains.
void rehearse_loading(const BaseModel& base, Device& device, const ParamStore& store) {
  std::size_t frozen = 0, trainable = 0;  // trainable: of a whole unit, as rank 0 has it when the adapter is saved
  bool lands = false;                     // where a share arrives that rests on the host
  for (std::size_t u = 0; u < store.units(); ++u) {
    trainable = std::max(trainable, static_cast<std::size_t>(store.layout(u).trainable_elements()) * sizeof(float));
    if (store.tier(u) == Tier::kDisk) continue;
    frozen = std::max(frozen, store.layout(u).frozen_bytes());
    lands = lands || store.tier(u) == Tier::kPinned;
  }
  if (base.is_prepared()) {
    device.allocate(kLoadedBlock, Tier::kPinned, Purpose::kFrozen);
  } else {
    const Buffer flat = device.allocate(frozen, Tier::kPinned, Purpose::kFrozen);
    const Buffer sent = device.allocate(frozen, Tier::kDevice, Purpose::kCommunication);
    if (lands) device.allocate(frozen + kPage, Tier::kDevice, Purpose::kCommunication);
  }
  device.allocate(trainable, Tier::kPinned, Purpose::kTrainable);
}

bool shares_can_be_read(const BaseModel& base, const ParamStore& store) {
  for (std::size_t u = 0; u < store.units(); ++u)
    if (!can_pack_share(base, store.layout(u))) return false;
  return true;
}

void check_disk(const BaseModel& base, const ParamStore& store) {
  for (std::size_t u = 0; u < store.units(); ++u)
    if (store.tier(u) == Tier::kDisk && !can_pack_share(base, store.layout(u)))
      fail(
          "{}: holds {} in other formats than it is to rest in, so it cannot rest on disk; take the model that the "
          "base "
          "was made of, or leave quantization.format out",
          base.path().string(), store.layout(u).spec().name);
}

}  // namespace

LoadedModel::LoadedModel(Ranks& ranks, const Recipe& recipe, const BaseModel& base, const LoraConfig* adapter,
                         const Workload& workload)
    : quantization(settled(recipe.quantization, base)) {
  const DType dtype = compute_dtype(recipe, ranks);
  model = make_model(*ranks.device, {base.config(), format_of(quantization, base, dtype), adapter}, dtype);
  base.check(model->spec());
  check_overrides(quantization, model->spec());
  choose_memory(ranks, recipe, base, workload);
  const bool from_disk =
      std::any_of(memory.frozen.begin(), memory.frozen.end(), [](const Residence& r) { return r.tier == Tier::kDisk; });
  prepared = prepared_copy(ranks, recipe, quantization, base, from_disk ? Needed::kYes : Needed::kNo);
  const BaseModel& weights = prepared ? *prepared : base;
  store = make_store(ranks, residences(memory));
  check_disk(weights, *store);
  store->set_disk([&weights, &store = *store](std::size_t unit, std::size_t begin, std::span<std::byte> out) {
    pack_share(weights, store.layout(unit), begin, out);
  });
  if (shares_can_be_read(weights, *store))
    load_prepared(weights, *ranks.device, *store);
  else
    load_base(weights, *ranks.device, *store, *ranks.reductions);
}

std::unique_ptr<ParamStore> LoadedModel::make_store(Ranks& ranks, const std::vector<UnitResidence>& units) const {
  return std::make_unique<ParamStore>(*ranks.device, ranks.rank(), ranks.size(), model->spec().units(), units);
}

void LoadedModel::choose_memory(Ranks& ranks, const Recipe& recipe, const BaseModel& base, const Workload& workload) {
  const MemoryDemand demand{.units = model->spec().units().size(),
                            .layers = model->config().layers,
                            .wave = workload.micro_batches,
                            .ranks = ranks.size(),
                            .disk = base.is_prepared() || recipe.base_prepared_path != ""};
  store = make_store(ranks, std::vector<UnitResidence>(demand.units, {.frozen = {Tier::kDisk, Sharding::kSharded},
                                                                      .masters = Tier::kDisk,
                                                                      .gradients = Tier::kDisk,
                                                                      .state = Tier::kDisk}));
  const std::size_t largest = largest_share(*store);
  gather_in_every_size(*ranks.device, *ranks.gathers, largest);
  gather_in_every_size(*ranks.device, *ranks.reductions, largest);
  if (!base.is_prepared()) send_in_every_size(*ranks.device, *ranks.reductions, largest);
  if (workload.warm_up) workload.warm_up(*store);
  store.reset();

  // Where device memory is the machine's, its limit may be more than the machine has: then that counts.
  const std::optional<std::uint64_t> available = ranks.device->host_reads() ? available_memory() : std::nullopt;
  // What a plan takes, until every rank has its own; what was only counted must not outlive the counting.
  struct Taken {
    std::unique_ptr<ParamStore>& store;
    std::shared_ptr<void> work = nullptr;
    ~Taken() {
      work.reset();
      store.reset();
    }
  };
  std::string lack;
  const auto taken = [&](const MemoryPlan& plan) {
    memory = plan;
    lack.clear();
    ranks.device->reset_peaks();  // a plan that lacks memory tells its own
    Taken now{store};
    try {
      store = make_store(ranks, residences(plan));
      rehearse_loading(base, *ranks.device, *store);
      if (workload.rehearse) now.work = workload.rehearse(*this);
      if (available)
        check_available(ranks.device->memory(Tier::kDevice), ranks.device->memory(Tier::kPinned), *available,
                        ranks.rendezvous.local_size());
    } catch (const OutOfMemory& error) {
      lack = error.what();
    }
    const auto all = ranks.exchange({lack.empty() ? 1.0 : 0.0});
    return std::all_of(all.begin(), all.end(), [](const std::vector<double>& rank) { return rank[0] == 1; });
  };
  const auto counted = [&](const MemoryPlan& plan) {
    const CountOnly counting(*ranks.device);
    return taken(plan);
  };
  std::optional<MemoryPlan> plan = shardlora::choose_memory(recipe, demand, counted);
  // Taken once before the base is read. Where the system has less than was counted (pinned memory has limits of its
  // own, a card rounds up), what is chosen is chosen again by taking.
  if (plan && !taken(*plan)) plan = shardlora::choose_memory(recipe, demand, taken);
  if (!plan && lack.empty()) throw PeerFailed("another rank has too little memory");
  if (!plan) throw OutOfMemory(lack);
  ranks.device->reset_peaks();
  memory = *plan;
  memory_text = shardlora::memory_text(memory, demand);
}

LoadedModel load_with_adapter(Ranks& ranks, const Recipe& recipe, const BaseModel& base, const std::string& directory,
                              const Workload& workload) {
  if (directory.empty()) return {ranks, recipe, base, nullptr, workload};
  Adapter adapter = read_adapter(directory);
  if (base.config().tied_embeddings) tie_saved_modules(adapter);
  LoadedModel loaded(ranks, recipe, base, &adapter.config, workload);
  check_adapter(adapter, loaded.model->spec().units());
  set_adapter(*loaded.store, adapter);
  return loaded;
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

}  // namespace shardlora
