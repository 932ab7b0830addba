// A whole optimiser step of QLoRA, through the streamer, on a base of random codes.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/philox.h"
#include "benchmarks/gpu_bench.h"
#include "comm/single_rendezvous.h"
#include "models/model.h"
#include "train/step.h"

namespace shardlora {

namespace {

ModelConfig config_of(const StepSettings& s) {
  return {.architecture = "llama",
          .vocab = s.vocab,
          .hidden = s.hidden,
          .intermediate = s.intermediate,
          .layers = s.layers,
          .heads = s.heads,
          .kv_heads = s.kv_heads,
          .head_dim = s.head_dim,
          .max_positions = 8192,
          .rope = {.theta = 500000},
          .norm_eps = 1e-5,
          .tied_embeddings = false};
}

void fill_random(std::byte* to, std::size_t bytes) {
  for (std::size_t i = 0; i + 16 <= bytes; i += 16) {
    const PhiloxBlock block = philox({3, 4}, {static_cast<std::uint32_t>(i / 16), 0, 0, 0});
    std::memcpy(to + i, block.v, 16);
  }
}

// Any byte is a code; scales and dense values have to be numbers of a trained model's size.
void fill(const UnitLayout& layout, std::byte* flat) {
  for (std::size_t p = 0; p < layout.spec().params.size(); ++p) {
    const ParamSpec& param = layout.spec().params[p];
    if (param.trainable) continue;
    const SectionBytes sizes = section_bytes(param.format, param.shape);
    std::byte* const first = flat + layout.section_offset(p, 0);
    if (!param.format.dense()) {
      fill_random(first, sizes[0]);
      auto* scales = reinterpret_cast<float*>(flat + layout.section_offset(p, 1));
      std::fill(scales, scales + sizes[1] / sizeof(float), 0.03F);
    } else if (param.format.codec == Codec::kF32) {
      auto* values = reinterpret_cast<float*>(first);
      std::fill(values, values + param.shape.numel(), 1.0F);
    } else {
      auto* values = reinterpret_cast<std::uint16_t*>(first);
      const bool bf16 = param.format.codec == Codec::kBF16;
      for (std::int64_t i = 0; i < param.shape.numel(); ++i) {
        const float value = 0.04F * (uniform(static_cast<std::uint32_t>(i) * 2654435761U) - 0.5F);
        values[i] = bf16 ? to_bf16(value).bits : to_f16(value).bits;
      }
    }
  }
}

}  // namespace

Measurement measure_step(Device& device, DType dtype, const StepSettings& s, std::size_t& peak_bytes) {
  SingleRendezvous rendezvous;
  const auto gathers = rendezvous.make_communicator(device, "gathers"),
             reductions = rendezvous.make_communicator(device, "reductions");
  const LoraConfig lora{
      .rank = 16,
      .alpha = 16,
      .target_modules = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}};
  const auto model =
      make_model(device, {config_of(s), rest_as({Codec::kNF4, 64, false}, dense_format(dtype)), &lora}, dtype);
  ParamStore store(device, 0, 1, model->spec().units());
  std::size_t largest = 0;
  for (std::size_t u = 0; u < store.units(); ++u) largest = std::max(largest, store.layout(u).frozen_bytes());
  {
    const Buffer flat = device.allocate(largest, Tier::kPinned, Purpose::kCommunication);
    for (std::size_t u = 0; u < store.units(); ++u) {
      const UnitLayout& layout = store.layout(u);
      // Layers are alike: one is made and used for all.
      const bool as_before = ModelSpec::layer_unit(0) < u && u < ModelSpec::layer_unit(model->config().layers);
      if (!as_before) fill(layout, flat.data());
      store.scatter_frozen(u, 0, flat.data(), *reductions);
      const std::vector<float> adapter(static_cast<std::size_t>(layout.trainable_elements()), 0.01F);
      store.set_trainable(u, adapter.data());
    }
  }

  std::vector<Sample> samples(static_cast<std::size_t>(s.micro_batch * s.micro_batches));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i].id = static_cast<std::int32_t>(i);
    for (std::int64_t t = 0; t < s.tokens; ++t) {
      const auto draw = philox({5, 5}, {static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(t), 0, 0}).v[0];
      samples[i].tokens.push_back(static_cast<std::int32_t>(draw % static_cast<std::uint32_t>(s.vocab)));
      samples[i].trained.push_back(1);
    }
  }
  std::vector<SampleRefs> batches(static_cast<std::size_t>(s.micro_batches));
  for (std::size_t i = 0; i < samples.size(); ++i)
    batches[i / static_cast<std::size_t>(s.micro_batch)].push_back(&samples[i]);
  TrainStep step(
      device, *model, store, *gathers, *reductions,
      {.micro_batches = s.micro_batches, .rows = padded_rows(s.tokens * s.micro_batch), .samples = s.micro_batch},
      {.recompute = {s.recompute ? Recompute::kYes : Recompute::kNo}, .wave = 0, .streamer = {dtype}});
  LossScale loss_scale;
  std::vector<double> times;
  for (int i = 0; i <= s.steps; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    step.run(batches, adamw_step({}, 1e-5, i + 1), 1.0, loss_scale);
    device.compute().synchronize();
    if (i > 0) times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::nth_element(times.begin(), times.begin() + std::ssize(times) / 2, times.end());
  const double median = times[times.size() / 2];
  peak_bytes = device.memory(Tier::kDevice).total_peak;
  return {s.name, median * 1e3, static_cast<double>(s.tokens * s.micro_batch * s.micro_batches) / median, "tokens/s",
          0};
}

}  // namespace shardlora
