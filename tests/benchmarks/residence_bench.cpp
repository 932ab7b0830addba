// What it costs a step that layers rest elsewhere: TinyLlama-1.1B's shape in NF4, embedding and head in memory, on a
// disk so slow that reading takes two thirds of computing. In turns: everything in memory; layers in host memory; on
// disk, with prefetching and without; and in waves of one micro-batch. A JSON object, by name: seconds and bytes of a
// step (medians), the cost beside everything in memory (median of the rounds' own), and what the formula of a step's
// time says, the longer of computing and moving bytes. Ends with 1 where prefetching costs more than 10 %, its absence
// less than 25 %, bytes differ from theory, or losses differ. An argument: the rounds, seven without.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "backend/cpu/cpu_device.h"
#include "base/disk.h"
#include "base/parallel.h"
#include "base/philox.h"
#include "base/reading_disk.h"
#include "benchmarks/timing.h"
#include "checkpoint/base_model.h"
#include "checkpoint/pack_unit.h"
#include "checkpoint/random_base.h"
#include "comm/single_rendezvous.h"
#include "io/temporary_directory.h"
#include "param/layout.h"
#include "train/decorators.h"
#include "train/step.h"

namespace shardlora {
namespace {

constexpr std::int64_t kMicroBatches = 4, kTokens = 48;  // of a step, and of each
constexpr double kReadOverCompute = 2.0 / 3;
const std::string kConfig = R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048,
  "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4,
  "vocab_size": 32000, "rms_norm_eps": 1e-5, "max_position_embeddings": 2048, "rope_theta": 10000.0,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16"})";

// Counts what goes from host memory to the device's.
class CountingDevice final : public DeviceDecorator {
 public:
  explicit CountingDevice(Device& inner) : DeviceDecorator(inner, nullptr, nullptr) {}
  void copy(std::byte* to, const std::byte* from, std::size_t bytes, Stream& stream) override {
    if (&stream != &compute()) uploaded += bytes;
    DeviceDecorator::copy(to, from, bytes, stream);
  }
  std::size_t uploaded = 0;
};

struct Variant {
  std::string name;
  Tier layers;
  Prefetch prefetch = Prefetch::kYes;
  std::int64_t wave = kMicroBatches;
};

std::vector<Sample> random_samples(std::int64_t vocab) {
  std::vector<Sample> samples(kMicroBatches);
  for (std::uint32_t s = 0; s < samples.size(); ++s)
    for (std::uint32_t t = 0; t < kTokens; ++t) {
      const std::uint32_t draw = philox({5, 5}, {s, t, 0, 0}).v[0];
      samples[s].tokens.push_back(static_cast<std::int32_t>(draw % static_cast<std::uint32_t>(vocab)));
      samples[s].trained.push_back(1);
    }
  return samples;
}

// One adapter over the base, and the steps that train it.
class Run {
 public:
  Run(CountingDevice& device, Model& model, const BaseModel& base, const Variant& variant)
      : gathers_(rendezvous_.make_communicator(device, "gathers")),
        reductions_(rendezvous_.make_communicator(device, "reductions")),
        store_(device, 0, 1, model.spec().units(), residences(model, variant.layers)),
        samples_(random_samples(model.config().vocab)) {
    store_.set_disk([this, &base](std::size_t unit, std::size_t begin, std::span<std::byte> out) {
      pack_share(base, store_.layout(unit), begin, out);
    });
    for (std::size_t u = 0; u < store_.units(); ++u) {
      const UnitLayout& layout = store_.layout(u);
      if (store_.tier(u) != Tier::kDisk) pack_share(base, layout, 0, {store_.frozen(u), layout.frozen_bytes()});
      store_.set_trainable(u, std::vector<float>(static_cast<std::size_t>(layout.trainable_elements()), 0.01F).data());
    }
    for (const Sample& s : samples_) batches_.push_back({&s});
    step_.emplace(
        device, model, store_, *gathers_, *reductions_,
        StepLimits{.micro_batches = kMicroBatches, .rows = padded_rows(kTokens), .samples = 1},
        StepOptions{.wave = variant.wave, .streamer = {.dtype = model.dtype(), .prefetch = variant.prefetch}});
  }
  double step() { return step_->run(batches_, adamw_step({}, 1e-4, ++steps_), 1.0, loss_scale_).loss; }

 private:
  static std::vector<UnitResidence> residences(const Model& model, Tier layers) {
    std::vector<UnitResidence> residences(model.spec().units().size());
    for (std::int64_t l = 0; l < model.config().layers; ++l)
      residences[model.spec().layer_unit(l)].frozen.tier = layers;
    return residences;
  }

  SingleRendezvous rendezvous_;
  std::unique_ptr<Communicator> gathers_, reductions_;
  ParamStore store_;
  std::vector<Sample> samples_;
  std::vector<SampleRefs> batches_;
  std::optional<TrainStep> step_;
  LossScale loss_scale_;
  int steps_ = 0;
};

// What was seen of a variant, by round.
struct Seen {
  // Costs: beside everything in memory in the same round. Formula: how many times its time a step took.
  std::vector<double> seconds, costs, formula;
  std::size_t read = 0, uploaded = 0;  // in the last round
  double loss = 0;
};

std::size_t bytes_read(const ReadingDisk& disk) {
  std::size_t bytes = 0;
  for (const ReadingDisk::Read& read : disk.reads()) bytes += read.bytes;
  return bytes;
}

// Prints all of it. Whether it is as it should be.
template <typename Theory>
bool told(const std::vector<Variant>& variants, const std::vector<Seen>& seen, const Theory& theory) {
  bool right = true;
  fmt::print("{{\n");
  for (std::size_t v = 0; v < variants.size(); ++v) {
    const Variant& variant = variants[v];
    const Seen& s = seen[v];
    const double cost = median(s.costs);
    fmt::print(
        "  \"{}\": {{\"seconds\": {:.3f}, \"cost\": {:.3f}, \"of_formula\": {:.3f}, \"read\": {}, \"uploaded\": "
        "{}}},\n",
        variant.name, median(s.seconds), cost, median(s.formula), s.read, s.uploaded);
    right = right && s.read == (variant.layers == Tier::kDisk ? theory(variant) : 0);
    right = right && s.uploaded == (variant.layers == Tier::kPinned ? theory(variant) : 0);
    right = right && s.loss == seen[0].loss;
    if (variant.layers == Tier::kDisk && variant.wave > 1)
      right = right && (variant.prefetch == Prefetch::kYes ? cost <= 0.10 : cost >= 0.25);
  }
  fmt::print("  \"as_it_should_be\": {}\n}}\n", right);
  return right;
}

int bench(int rounds) {
  const TemporaryDirectory folder;
  folder.write("config.json", kConfig);
  folder.write("tokenizer.json", "{}");
  const std::filesystem::path path = folder.path() / "base";
  make_random_base(folder.path(), path, {.layers = {}, .seed = 1, .threads = available_processors()});

  const std::unique_ptr<Device> cpu = make_cpu_device({.threads = available_processors(),
                                                       .device_limit = 0,
                                                       .host_limit = 0,
                                                       .mode = StreamMode::kInline,
                                                       .seed = 0,
                                                       .poison = false});
  CountingDevice device(*cpu);
  const LoraConfig lora{
      .rank = 16,
      .alpha = 16,
      .target_modules = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}};
  const DType dtype = device.support(DType::kBF16) == Support::kFast ? DType::kBF16 : DType::kF32;
  const BaseModel base = BaseModel::open(path.string());
  const auto model =
      make_model(device, {base.config(), rest_as({Codec::kNF4, 64, true}, {.codec = Codec::kBF16}), &lora}, dtype);
  const std::int64_t layers = model->config().layers;
  const UnitSpec& layer = model->spec().units()[model->spec().layer_unit(0)];
  const std::size_t resting = UnitLayout(layer).frozen_bytes();
  std::size_t stored = 0;  // norms are stored in another type than they rest in
  for (const ParamSpec& param : layer.params)
    if (!param.trainable) stored += layout_of(base.stored_format(base.name_of(param.name)).value(), param.shape).bytes;
  // A wave visits every layer twice; the last one stays at the turn, the first from one wave to the next.
  const auto theory = [&](const Variant& v) {
    const std::int64_t waves = kMicroBatches / v.wave;
    return static_cast<std::size_t>(waves * (2 * layers - 2)) * (v.layers == Tier::kDisk ? stored : resting);
  };

  constexpr std::size_t kWavesOfOne = 1;
  const std::vector<Variant> variants{{"memory", Tier::kDevice},
                                      {"memory, waves of one", Tier::kDevice, Prefetch::kYes, 1},
                                      {"host", Tier::kPinned},
                                      {"disk", Tier::kDisk},
                                      {"disk without prefetching", Tier::kDisk, Prefetch::kNo},
                                      {"disk, waves of one", Tier::kDisk, Prefetch::kYes, 1}};
  std::vector<std::unique_ptr<Run>> runs(variants.size());
  const auto make = [&](std::size_t v, const BaseModel& from) {
    runs[v] = std::make_unique<Run>(device, *model, from, variants[v]);
    runs[v]->step();
  };
  for (std::size_t v = 0; v < variants.size(); ++v)
    if (variants[v].layers != Tier::kDisk) make(v, base);
  ReadingDisk disk;
  const DiskInstead instead(disk);
  const BaseModel slow = BaseModel::open(path.string());
  for (std::size_t v = 0; v < variants.size(); ++v)
    if (variants[v].layers == Tier::kDisk) make(v, slow);

  std::vector<Seen> seen(variants.size());
  for (int round = 0; round < rounds; ++round)
    for (std::size_t v = 0; v < variants.size(); ++v) {
      const std::size_t read = bytes_read(disk), uploaded = device.uploaded;
      Seen& s = seen[v];
      s.seconds.push_back(seconds([&] { s.loss = runs[v]->step(); }));
      const double plain = seen[0].seconds.back();
      if (v == 0) disk.set_bytes_per_second(static_cast<double>(theory(variants[0])) / (kReadOverCompute * plain));
      s.read = bytes_read(disk) - read;
      s.uploaded = device.uploaded - uploaded;
      s.costs.push_back(s.seconds.back() / plain - 1);
      // Reading one byte takes kReadOverCompute / theory of the plain step.
      const double reading = kReadOverCompute * static_cast<double>(s.read) / static_cast<double>(theory(variants[0]));
      const double computing = seen[variants[v].wave == 1 ? kWavesOfOne : 0].seconds.back() / plain;
      s.formula.push_back(s.seconds.back() / plain / std::max(computing, reading));
    }
  return told(variants, seen, theory) ? 0 : 1;
}

}  // namespace
}  // namespace shardlora

int main(int argc, char** argv) { return shardlora::bench(argc > 1 ? std::atoi(argv[1]) : 7); }
