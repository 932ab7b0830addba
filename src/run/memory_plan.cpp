#include "run/memory_plan.h"

#include <algorithm>

#include "backend/arena.h"
#include "models/model_spec.h"

namespace shardlora {
namespace {

// How a base computes, wherever its layers rest.
struct Manner {
  Sharding sharding;
  Recompute recompute;
  Tier layer_inputs;
  Decode decode;
  Tier optimizer;
  bool operator==(const Manner&) const = default;
};

// From the one that is fastest to the one that takes the least memory.
std::vector<Manner> manners(const Recipe& recipe, int ranks) {
  constexpr Sharding kAll = Sharding::kReplicated, kShare = Sharding::kSharded;
  constexpr Tier kDevice = Tier::kDevice, kHost = Tier::kPinned;
  std::vector<Manner> chosen;
  for (Manner m : {Manner{kAll, Recompute::kNo, kDevice, Decode::kUnit, kDevice},
                   Manner{kShare, Recompute::kNo, kDevice, Decode::kUnit, kDevice},
                   Manner{kAll, Recompute::kCheap, kDevice, Decode::kUnit, kDevice},
                   Manner{kShare, Recompute::kCheap, kDevice, Decode::kUnit, kDevice},
                   Manner{kAll, Recompute::kYes, kDevice, Decode::kUnit, kDevice},
                   Manner{kShare, Recompute::kYes, kDevice, Decode::kUnit, kDevice},
                   Manner{kShare, Recompute::kYes, kHost, Decode::kUnit, kDevice},
                   Manner{kShare, Recompute::kYes, kHost, Decode::kMatrix, kDevice},
                   Manner{kShare, Recompute::kYes, kHost, Decode::kMatrix, kHost}}) {
    // Off the device every byte has a way to go for every rank that wants it: they share that out.
    if (recipe.offload_base.value_or(Tier::kDevice) != Tier::kDevice) m.sharding = kShare;
    m.sharding = ranks == 1 ? kShare : recipe.sharding.value_or(m.sharding);
    if (recipe.gradient_checkpointing) m.recompute = *recipe.gradient_checkpointing ? Recompute::kYes : Recompute::kNo;
    m.layer_inputs = recipe.offload_layer_inputs.value_or(m.layer_inputs);
    m.optimizer = recipe.offload_optimizer.value_or(m.optimizer);
    if (std::find(chosen.begin(), chosen.end(), m) == chosen.end()) chosen.push_back(m);
  }
  return chosen;
}

MemoryPlan plan_of(const Manner& m, const MemoryDemand& demand, std::int64_t wave, Tier tier) {
  return {.frozen = std::vector<Residence>(demand.units, {tier, m.sharding}),
          .optimizer = m.optimizer,
          .decode = m.decode,
          .recompute = std::vector<Recompute>(static_cast<std::size_t>(demand.layers), m.recompute),
          .layer_inputs = m.layer_inputs,
          .wave = wave};
}

// With the last `moved` layers off the device: the last `on_host` of them in host memory, the others on disk.
MemoryPlan moved(const Manner& m, const MemoryDemand& demand, std::int64_t wave, std::int64_t moved,
                 std::int64_t on_host) {
  MemoryPlan plan = plan_of(m, demand, wave, Tier::kDevice);
  for (std::int64_t i = 1; i <= moved; ++i)
    plan.frozen[ModelSpec::layer_unit(demand.layers - i)].tier = i <= on_host ? Tier::kPinned : Tier::kDisk;
  return plan;
}

// The least of [0, all] that `holds` is true of, where it is true of all from there on, as of `all`.
std::int64_t least(std::int64_t all, const std::function<bool(std::int64_t)>& holds) {
  std::int64_t below = 0, enough = all;
  while (below < enough) {
    const std::int64_t middle = (below + enough) / 2;
    if (holds(middle))
      enough = middle;
    else
      below = middle + 1;
  }
  return enough;
}

// In this manner, as few layers as may be off the device, or all of the base.
std::optional<MemoryPlan> choose_moved(const Manner& m, const MemoryDemand& demand, std::int64_t wave,
                                       const Fits& fits) {
  const std::int64_t layers = demand.layers;
  const auto try_moved = [&](std::int64_t n, std::int64_t on_host) { return fits(moved(m, demand, wave, n, on_host)); };
  if (try_moved(layers, 0)) {  // then the device has room for the rest, whatever the host has
    const std::int64_t n = least(layers, [&](std::int64_t some) { return try_moved(some, 0); });
    const std::int64_t on_disk = least(n, [&](std::int64_t some) { return try_moved(n, n - some); });
    if (on_disk == 0 || demand.disk) return moved(m, demand, wave, n, n - on_disk);
  }
  for (const Tier tier : {Tier::kPinned, Tier::kDisk}) {
    MemoryPlan plan = plan_of(m, demand, wave, tier);
    if ((tier != Tier::kDisk || demand.disk) && fits(plan)) return plan;
  }
  return std::nullopt;
}

std::optional<MemoryPlan> choose_for_wave(const Recipe& recipe, const MemoryDemand& demand, std::int64_t wave,
                                          const Fits& fits) {
  const std::vector<Manner> all = manners(recipe, demand.ranks);
  for (const Manner& m : all) {
    MemoryPlan plan = plan_of(m, demand, wave, recipe.offload_base.value_or(Tier::kDevice));
    if (fits(plan)) return plan;
  }
  if (recipe.offload_base) return std::nullopt;

  // Where the host has no room for what trains, either, it stays on the device.
  Manner on_device = all.back();
  on_device.optimizer = recipe.offload_optimizer.value_or(Tier::kDevice);
  for (const Manner& m : {all.back(), on_device})
    if (std::optional<MemoryPlan> plan = choose_moved(m, demand, wave, fits)) return plan;
  return std::nullopt;
}

// Has as few layers as may be, the first ones, compute all of their activations again.
MemoryPlan keep_what_fits(MemoryPlan plan, const MemoryDemand& demand, const Fits& fits) {
  const auto recomputing = [&](std::int64_t layers) {
    MemoryPlan other = plan;
    std::fill(other.recompute.begin() + layers, other.recompute.end(), Recompute::kCheap);
    return other;
  };
  return recomputing(least(demand.layers, [&](std::int64_t layers) { return fits(recomputing(layers)); }));
}

// ", 20 of 32 layers in host memory", or " on disk" where all of the base is.
std::string tiers_text(const MemoryPlan& plan, const MemoryDemand& demand) {
  std::string text;
  for (const auto& [tier, name] : {std::pair{Tier::kPinned, "in host memory"}, std::pair{Tier::kDisk, "on disk"}}) {
    const auto rests = [tier = tier](const Residence& r) { return r.tier == tier; };
    const auto count = std::count_if(plan.frozen.begin(), plan.frozen.end(), rests);
    if (count == std::ssize(plan.frozen)) return fmt::format(" {}", name);
    if (count > 0) text += fmt::format(", {} of {} layers {}", count, demand.layers, name);
  }
  return (demand.ranks == 1 ? " on the device" : "") + text;
}

// "activations of 20 of 32 layers computed again in backward"
std::string recompute_text(const MemoryPlan& plan) {
  const auto all = std::ssize(plan.recompute);
  const auto again = std::count(plan.recompute.begin(), plan.recompute.end(), Recompute::kYes);
  if (plan.recompute.front() == Recompute::kNo) return "activations kept";
  if (again == 0) return "cheap activations computed again in backward";
  return fmt::format("activations{} computed again in backward",
                     again < all ? fmt::format(" of {} of {} layers", again, all) : "");
}

std::optional<MemoryPlan> choose_for_waves(const Recipe& recipe, const MemoryDemand& demand, const Fits& fits) {
  for (std::int64_t wave = demand.wave;; wave = smaller_wave(wave)) {
    std::optional<MemoryPlan> plan = choose_for_wave(recipe, demand, wave, fits);
    if (plan && !recipe.gradient_checkpointing && plan->recompute.front() == Recompute::kYes)
      return keep_what_fits(*std::move(plan), demand, fits);
    if (plan || wave == 1) return plan;
  }
}

}  // namespace

// A disk wears out by what is written every step, so inputs go there only where nothing else is left.
std::optional<MemoryPlan> choose_memory(const Recipe& recipe, const MemoryDemand& demand, const Fits& fits) {
  std::optional<MemoryPlan> plan = choose_for_waves(recipe, demand, fits);
  if (plan || recipe.offload_layer_inputs) return plan;
  Recipe to_disk = recipe;
  to_disk.offload_layer_inputs = Tier::kDisk;
  return choose_for_waves(to_disk, demand, fits);
}

std::vector<UnitResidence> residences(const MemoryPlan& plan) {
  std::vector<UnitResidence> units;
  for (const Residence& frozen : plan.frozen)
    units.push_back(
        {.frozen = frozen, .masters = plan.optimizer, .gradients = plan.optimizer, .state = plan.optimizer});
  return units;
}

void check_available(const MemoryUse& device, const MemoryUse& host, std::uint64_t available, int ranks) {
  const std::uint64_t need = (device.total_peak + host.total_peak) * static_cast<std::uint64_t>(ranks);
  if (need <= available) return;
  constexpr double kMiB = 1 << 20;
  throw OutOfMemory(fmt::format(
      "this machine has {:.1f} MiB of memory available, and {} here need{} {:.1f} MiB, whatever memory.* allows; "
      "of one, as device memory: {}; as host memory: {}; lower memory.device_limit, micro_batch_size or sequence_len, "
      "or end other programs",
      static_cast<double>(available) / kMiB, ranks == 1 ? "the rank" : fmt::format("the {} ranks", ranks),
      ranks == 1 ? "s" : "", static_cast<double>(need) / kMiB, by_purpose(device), by_purpose(host)));
}

std::string memory_text(const MemoryPlan& plan, const MemoryDemand& demand) {
  const bool whole = plan.frozen[0].sharding == Sharding::kReplicated;
  std::string text = fmt::format("base{}{}",
                                 demand.ranks == 1 ? ""
                                 : whole           ? " whole on every rank"
                                                   : " shared out",
                                 tiers_text(plan, demand));
  text += "; " + recompute_text(plan);
  if (plan.layer_inputs == Tier::kPinned) text += "; inputs of layers in host memory";
  if (plan.layer_inputs == Tier::kDisk) text += "; inputs of layers on disk";
  if (plan.decode == Decode::kMatrix) text += "; weights decoded one by one";
  if (plan.optimizer == Tier::kPinned) text += "; what trains and its optimizer state in host memory";
  if (plan.wave < demand.wave) text += fmt::format("; waves of {} micro-batches", plan.wave);
  return text;
}

std::string offload_text(const ParamStore& store, const std::vector<std::size_t>& visits, int ranks) {
  std::string text;
  for (const auto& [tier, name] : {std::pair{Tier::kPinned, "host memory"}, std::pair{Tier::kDisk, "the disk"}}) {
    std::size_t bytes = 0;
    for (std::size_t v = 0; v < visits.size(); ++v) {
      const auto [begin, end] = store.resting(visits[v]);
      if (store.tier(visits[v]) == tier && !keeps_slot(visits, v)) bytes += end - begin;
    }
    if (bytes > 0)
      text += fmt::format("{} {:.2f} GB from {}", text.empty() ? "every token takes" : " and",
                          static_cast<double>(bytes) / 1e9, name);
  }
  return text.empty() || ranks == 1 ? text : text + fmt::format(", on each of {} ranks", ranks);
}

}  // namespace shardlora
