// A tiny random Llama trained for a few steps in one process: ranks are threads. What the equivalence tests compare.
#pragma once

#include <filesystem>
#include <functional>

#include "base/philox.h"
#include "batch/sample_batches.h"
#include "device_of_rank.h"
#include "gathered.h"
#include "quant/quantize.h"
#include "thread_ranks.h"
#include "train/step.h"

namespace shardlora {

struct TinyJob {
  int ranks = 1;
  int threads = 1;
  int steps = 3;
  std::int64_t layers = 3;
  std::int64_t micro_batches = 5;
  std::int64_t wave = 0;
  std::vector<Recompute> recompute = {Recompute::kYes};  // of the layers, in turns
  std::vector<Residence> frozen = {{}};                  // of the units, in turns
  std::vector<Tier> optimizer = {Tier::kDevice};         // of the units, in turns: masters, gradients and state
  Decode decode = Decode::kUnit;
  Tier layer_inputs = Tier::kDevice;
  Codec codec = Codec::kNF4;
  bool tied = true;
  TableCut cut = {};
  std::int64_t lora_rank = 4;  // with 16 the elements of a layer are shares of two ranks
  DType dtype = DType::kF32;
  LossScale loss_scale = {};
  StreamMode mode = StreamMode::kInline;
  Poison poison = Poison::kYes;
  Prefetch prefetch = Prefetch::kYes;
  std::uint64_t seed = 7;               // of the delays
  std::vector<std::string> saved = {};  // modules that train as a whole
  Timing timing = Timing::kOff;
  double dropout = 0;
  float neftune_alpha = 0;
  std::vector<std::vector<float>> start = {};                  // trainable values of every unit; empty: random ones
  std::function<std::unique_ptr<Device>(Device&)> plant = {};  // a stand-in for a rank's device
  std::function<std::unique_ptr<Communicator>(Communicator&, Device&)> plant_gathers = {};  // and for its gathers
  std::function<void(int rank, std::size_t unit)> reads = {};  // hears of every read of the disk, before it
  // Other micro-batches than two samples each, for every step, out of the job's 40 samples.
  std::function<std::vector<std::vector<SampleRefs>>(const std::vector<Sample>&)> batches = {};
};

struct TinyResult {
  std::vector<double> losses, grad_norms, loss_scales;  // of every step; -1: of a skipped one
  double eval_loss = 0;
  std::vector<std::vector<float>> start, adapters;  // of every unit, before and after
  std::vector<std::vector<float>> gradients;        // of every unit, in the first step
  std::vector<std::uint64_t> allocations;           // of rank 0's device, by every step and by the evaluation
  std::vector<Span> spans;                          // of rank 0's steps, and what they waited for
  Waits waits{};
  std::vector<std::size_t> frozen_at_rest;  // bytes, by rank
  std::size_t frozen_bytes = 0;             // of all units

  bool operator==(const TinyResult& other) const {
    return losses == other.losses && grad_norms == other.grad_norms && loss_scales == other.loss_scales &&
           eval_loss == other.eval_loss && adapters == other.adapters;
  }
};

inline ModelConfig tiny_config(bool tied) {
  return {.architecture = "llama",
          .vocab = 96,
          .hidden = 32,
          .intermediate = 64,
          .layers = 3,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 8,
          .max_positions = 64,
          .rope = {.theta = 10000},
          .norm_eps = 1e-5,
          .tied_embeddings = tied};
}

// Uniform in [-1, 1), a stream per name.
inline std::vector<float> random_values(std::int64_t count, const std::string& name) {
  std::vector<float> values;
  const PhiloxKey key{static_cast<std::uint32_t>(std::hash<std::string>{}(name)), 1};
  for (std::uint32_t i = 0; i < count; ++i) values.push_back(2 * uniform(philox(key, {i, 0, 0, 0}).v[0]) - 1);
  return values;
}

inline std::vector<Sample> tiny_samples(std::size_t count, std::int32_t vocab) {
  std::vector<Sample> samples(count);
  for (std::uint32_t s = 0; s < count; ++s) {
    const std::uint32_t length = 3 + philox({3, 3}, {s, 0, 0, 0}).v[0] % 30;
    for (std::uint32_t i = 0; i < length; ++i) {
      const auto draw = philox({5, 5}, {s, i, 0, 0});
      samples[s].tokens.push_back(static_cast<std::int32_t>(draw.v[0] % static_cast<std::uint32_t>(vocab)));
      samples[s].trained.push_back(i > 0 && draw.v[1] % 3 != 0);
    }
    samples[s].trained.back() = 1;
  }
  return samples;
}

// Of a slice what it has of the whole's.
inline std::vector<float> random_slice(const ParamSpec& param, const std::string& name) {
  const std::vector<float> whole = random_values(param.stored_shape().numel(), name);
  const auto begin = whole.begin() + (param.sliced() ? param.first_row * param.shape[1] : 0);
  return {begin, begin + param.shape.numel()};
}

// Of a unit's trainable elements; those of slices are what they are in the uncut unit.
inline std::vector<float> random_adapter(const UnitSpec& unit, std::int64_t elements) {
  const ParamSpec& first = unit.params[0];
  if (!first.sliced()) return random_values(elements, unit.name + ".adapter");
  if (!first.trainable) return {};
  return random_slice(first, unit.name.substr(0, unit.name.rfind('.')) + ".adapter");
}

inline std::vector<std::byte> tiny_flat(const UnitLayout& layout) {
  std::vector<std::byte> flat(layout.frozen_bytes());
  for (std::size_t p = 0; p < layout.spec().params.size(); ++p) {
    const ParamSpec& param = layout.spec().params[p];
    if (param.trainable) continue;
    std::vector<float> values = random_slice(param, param.name);
    for (float& v : values) v = param.shape.rank() == 1 ? 1 + 0.3F * v : 0.3F * v;
    Sections sections{};
    for (int s = 0; s < kSections; ++s)
      sections[static_cast<std::size_t>(s)] = flat.data() + layout.section_offset(p, s);
    quantize(param.format, values, sections);
  }
  return flat;
}

inline TinyResult run_rank(const TinyJob& job, Rendezvous& rendezvous) {
  const std::unique_ptr<Device> real_device =
      make_device_of_rank({.threads = job.threads, .mode = job.mode, .seed = job.seed}, rendezvous);
  const std::unique_ptr<Device> planted = job.plant ? job.plant(*real_device) : nullptr;
  Device* const device = planted ? planted.get() : real_device.get();
  const auto gathers = rendezvous.make_communicator(*real_device, "gathers"),
             reductions = rendezvous.make_communicator(*real_device, "reductions");
  const std::unique_ptr<Communicator> planted_gathers =
      job.plant_gathers ? job.plant_gathers(*gathers, *device) : nullptr;
  ModelConfig config = tiny_config(job.tied);
  config.layers = job.layers;
  const DType dtype = job.dtype;
  const LoraConfig lora{.rank = job.lora_rank,
                        .alpha = 8,
                        .target_modules = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
                        .modules_to_save = job.saved,
                        .dropout = job.dropout};
  const auto model = make_model(
      *device, {config, rest_as({job.codec, 64, job.codec == Codec::kNF4}, dense_format(dtype)), &lora, job.cut},
      dtype);
  std::vector<UnitResidence> residences;
  for (std::size_t u = 0; u < model->spec().units().size(); ++u) {
    const Tier optimizer = job.optimizer[u % job.optimizer.size()];
    residences.push_back({job.frozen[u % job.frozen.size()], optimizer, optimizer, optimizer});
  }
  ParamStore store(*device, rendezvous.rank(), rendezvous.size(), model->spec().units(), residences);
  std::vector<std::vector<std::byte>> disk(store.units());
  for (std::size_t u = 0; u < store.units(); ++u)
    if (store.tier(u) == Tier::kDisk) disk[u] = tiny_flat(store.layout(u));
  store.set_disk([&](std::size_t unit, std::size_t begin, std::span<std::byte> out) {
    if (job.reads) job.reads(rendezvous.rank(), unit);
    std::copy_n(disk[unit].begin() + static_cast<std::ptrdiff_t>(begin), out.size(), out.begin());
  });

  TinyResult result;
  for (std::size_t u = 0; u < store.units(); ++u) {
    const int root = static_cast<int>(u) % rendezvous.size();
    if (store.tier(u) != Tier::kDisk) {
      const Buffer flat = pinned_copy(*device, tiny_flat(store.layout(u)));
      store.scatter_frozen(u, root, rendezvous.rank() == root ? flat.data() : nullptr, *reductions);
    }
    std::vector<float> adapter = random_adapter(model->spec().units()[u], store.layout(u).trainable_elements());
    for (float& v : adapter) v *= 0.2F;
    if (!job.start.empty()) adapter = job.start[u];
    result.start.push_back(adapter);
    store.set_trainable(u, adapter.data());
    result.frozen_bytes += store.layout(u).frozen_bytes();
  }
  result.frozen_at_rest = {device->memory(Tier::kDevice).now[static_cast<std::size_t>(Purpose::kFrozen)]};

  std::vector<Sample> samples = tiny_samples(40, static_cast<std::int32_t>(config.vocab));
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i].id = static_cast<std::int32_t>(i);
  const auto given = job.batches ? job.batches(samples) : std::vector<std::vector<SampleRefs>>{};
  StepLimits limits{.micro_batches = job.micro_batches, .rows = padded_rows(2 * 33), .samples = 2};
  for (const std::vector<SampleRefs>& list : given) include_step(limits, list);
  TrainStep step(*device, *model, store, planted_gathers ? *planted_gathers : *gathers, *reductions, limits,
                 {.recompute = job.recompute,
                  .wave = job.wave,
                  .layer_inputs = job.layer_inputs,
                  .scratch = std::filesystem::temp_directory_path(),
                  .streamer = {dtype, job.poison, job.prefetch, job.decode, kPage},
                  .neftune_alpha = job.neftune_alpha});
  LossScale loss_scale = job.loss_scale;
  std::optional<PhiloxKey> noise;
  if (job.dropout > 0 || job.neftune_alpha > 0) noise = noise_key(11, 0);
  std::size_t next = 0;
  const auto micro_batches = [&](std::int64_t count) {
    std::vector<SampleRefs> list(static_cast<std::size_t>(count));
    for (SampleRefs& m : list)
      for (int i = 0; i < 2; ++i) m.push_back(&samples[next++ % samples.size()]);
    return list;
  };
  const auto allocations = [&] {
    return device->memory(Tier::kDevice).allocations + device->memory(Tier::kPinned).allocations;
  };
  device->timeline().measure(job.timing);
  std::int64_t updates = 0;
  for (int s = 0; s < job.steps; ++s) {
    // The last step is smaller, as at the end of an epoch.
    const std::int64_t count = s + 1 == job.steps ? (job.micro_batches + 1) / 2 : job.micro_batches;
    const auto list = given.empty() ? micro_batches(count) : given[static_cast<std::size_t>(s)];
    const std::uint64_t before = allocations();
    const StepResult done = step.run(list, adamw_step({}, 1e-2, updates + 1), 1.0, loss_scale, noise);
    result.allocations.push_back(allocations() - before);
    updates += done.updated ? 1 : 0;
    result.losses.push_back(done.loss);
    result.grad_norms.push_back(done.updated ? done.grad_norm : -1);
    result.loss_scales.push_back(done.loss_scale);
    if (s == 0)
      for (std::size_t u = 0; u < store.units(); ++u)
        result.gradients.push_back(gathered(*device, store, u, &TrainableShare::gradient, *reductions));
  }
  device->compute().synchronize();
  result.waits = device->timeline().take_waits();
  result.spans = device->timeline().take_spans();
  const std::uint64_t before = allocations();
  result.eval_loss = step.evaluate(micro_batches(job.micro_batches + 2)).loss;
  result.allocations.push_back(allocations() - before);
  for (std::size_t u = 0; u < store.units(); ++u)
    result.adapters.push_back(gathered(*device, store, u, &TrainableShare::master, *reductions));
  return result;
}

// What rank 0 saw, once all ranks are through.
inline TinyResult run(const TinyJob& job) {
  std::vector<TinyResult> results =
      on_thread_ranks(job.ranks, [&](Rendezvous& rendezvous) { return run_rank(job, rendezvous); });
  for (std::size_t r = 1; r < results.size(); ++r) {
    if (!(results[r] == results[0])) throw std::logic_error("ranks ended with different results");
    results[0].frozen_at_rest.push_back(results[r].frozen_at_rest[0]);
  }
  return results[0];
}

}  // namespace shardlora
