// The engine on the goldens' job: a model from its files, by default a tiny one, unquantised, its adapter from PEFT's
// files, one forward pass, then training as scripts/goldens/training.py does it. Faults can be planted into it.
#pragma once

#include <functional>
#include <memory>

#include "checkpoint/adapter_state.h"
#include "checkpoint/base_model.h"
#include "checkpoint/pack_unit.h"
#include "device_of_rank.h"
#include "forward_pass.h"
#include "gathered.h"
#include "golden_files.h"
#include "optim/schedule.h"
#include "thread_ranks.h"
#include "train/step.h"

namespace shardlora {

// Stand-ins that do something wrong; null: the real one is used.
struct PlantedParts {
  std::unique_ptr<Device> device;
  std::unique_ptr<Communicator> gathers, reductions;
};

struct GoldenJob {
  std::string variant = "tied";
  std::filesystem::path base = {}, adapter = {};           // to start from; empty: the golden's
  std::vector<GoldenStep> data = {};                       // empty: the golden's
  DType dtype = DType::kF32;                               // of the base and of computing
  LossScale loss_scale = {};                               // gradients are given without it
  std::function<FormatOf(const BaseModel&)> rest_as = {};  // what the base rests as; empty: `dtype`
  TableCut cut = {};
  double peak_rate = 1e-2;
  int ranks = 1;
  int steps = 20;
  StreamMode mode = StreamMode::kInline;
  Prefetch prefetch = Prefetch::kYes;
  // Given the real parts of a rank.
  std::function<PlantedParts(Device&, Communicator& gathers, Communicator& reductions)> plant = {};
  std::function<StoredName(StoredName)> rename = {};  // of every frozen parameter
};

struct GoldenResult {
  ForwardPass forward;     // of the first step, before it
  GoldenTensors gradient;  // of the first step, by parameter
  std::vector<double> losses, grad_norms, learning_rates;
  Adapter adapter;      // after the last step
  ForwardPass trained;  // of the first step, with that adapter
};

inline std::vector<SampleRefs> pointers(const GoldenStep& step) {
  std::vector<SampleRefs> list;
  for (const std::vector<Sample>& samples : step) {
    list.emplace_back();
    for (const Sample& s : samples) list.back().push_back(&s);
  }
  return list;
}

inline GoldenResult run_rank(const GoldenJob& job, Rendezvous& rendezvous) {
  const auto real_device = make_device_of_rank({.mode = job.mode}, rendezvous);
  const auto real_gathers = rendezvous.make_communicator(*real_device, "gathers");
  const auto real_reductions = rendezvous.make_communicator(*real_device, "reductions");
  const PlantedParts planted = job.plant ? job.plant(*real_device, *real_gathers, *real_reductions) : PlantedParts{};
  Device& device = planted.device ? *planted.device : *real_device;
  Communicator& gathers = planted.gathers ? *planted.gathers : *real_gathers;
  Communicator& reductions = planted.reductions ? *planted.reductions : *real_reductions;

  const BaseModel base = BaseModel::open(job.base.empty() ? golden_path("tiny-" + job.variant + ".gguf") : job.base);
  Adapter start = read_adapter(job.adapter.empty() ? golden_path("adapter-" + job.variant) : job.adapter);
  const std::vector<GoldenStep>& data = job.data.empty() ? golden_steps() : job.data;
  if (base.config().tied_embeddings) tie_saved_modules(start);
  const Format dense = dense_format(job.dtype);
  const FormatOf format = job.rest_as ? job.rest_as(base) : rest_as(dense, dense);
  const auto model = make_model(device, {base.config(), format, &start.config, job.cut}, job.dtype);
  base.check(model->spec());
  check_adapter(start, model->spec().units());
  ParamStore store(device, rendezvous.rank(), rendezvous.size(), model->spec().units());
  const auto name = [&](const std::string& parameter) {
    const StoredName stored = base.name_of(parameter);
    return job.rename ? job.rename(stored) : stored;
  };
  for (std::size_t u = 0; u < store.units(); ++u) {
    std::vector<std::byte> flat(store.layout(u).frozen_bytes());
    pack_unit(base, name, store.layout(u), flat);
    const Buffer pinned = pinned_copy(device, flat);
    store.scatter_frozen(u, 0, rendezvous.rank() == 0 ? pinned.data() : nullptr, reductions);
  }
  set_adapter(store, start);

  const StreamerOptions streamer{job.dtype, Poison::kYes, job.prefetch};
  GoldenResult result;
  const auto pass = [&] {
    return forward_pass(device, *model, store, gathers, pointers(data[0]), Logits::kYes, streamer);
  };
  result.forward = pass();
  StepLimits limits;
  for (const GoldenStep& step : data) {
    limits.micro_batches = std::max(limits.micro_batches, std::ssize(step));
    for (const SampleRefs& m : pointers(step)) {
      limits.rows = std::max(limits.rows, padded_rows(total_tokens(m)));
      limits.samples = std::max(limits.samples, std::ssize(m));
    }
  }
  TrainStep step(device, *model, store, gathers, reductions, limits,
                 {.recompute = {Recompute::kYes}, .wave = 0, .streamer = streamer});
  LossScale loss_scale = job.loss_scale;
  const LearningRate rates{.schedule = Schedule::kLinear, .peak = job.peak_rate, .warmup = 3, .total = 20};
  for (int s = 0; s < job.steps; ++s) {
    const double rate = rates.at(s);
    const AdamWStep adamw =
        adamw_step({.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.01}, rate, s + 1);
    const StepResult done = step.run(pointers(data[static_cast<std::size_t>(s) % data.size()]), adamw, 1.0, loss_scale);
    result.losses.push_back(done.loss);
    result.grad_norms.push_back(done.grad_norm);
    result.learning_rates.push_back(rate);
    if (s > 0) continue;
    result.gradient = gathered_by_param(device, store, &TrainableShare::gradient, reductions);
    for (auto& [name, values] : result.gradient)
      for (float& value : values) value /= static_cast<float>(done.loss_scale);
  }
  result.adapter = start;
  result.adapter.base_model_name = "tiny-" + job.variant;
  for (const auto& [name, values] : gathered_by_param(device, store, &TrainableShare::master, reductions))
    result.adapter.tensors.at(name).values = values;
  result.trained = pass();
  return result;
}

// By rank.
inline std::vector<GoldenResult> run(const GoldenJob& job) {
  return on_thread_ranks(job.ranks, [&](Rendezvous& rendezvous) { return run_rank(job, rendezvous); });
}

}  // namespace shardlora
