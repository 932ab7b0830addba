#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <chrono>

#include "base/log.h"
#include "checkpoint/prepare_base.h"
#include "cli/verbs.h"
#include "recipe/recipe.h"
#include "run/base_formats.h"
#include "run/prepared_progress.h"

namespace shardlora {
namespace {

struct QuantizeOptions {
  std::string model, out;
  std::vector<std::string> settings;
  Quantization quantization{.format = kFourBit};
};

void quantize(Rendezvous& rendezvous, const QuantizeOptions& o) {
  start_log(rendezvous.rank());
  const bool first = rendezvous.rank() == 0;
  const BaseModel source = BaseModel::open(o.model);
  if (source.is_prepared()) fail("{}: is a prepared base already; give the model that it was made of", o.model);
  const Quantization to = settled(o.quantization, source);
  const FormatOf formats = format_of(to, source, std::nullopt);
  const ModelSpec model(source.config(), formats, nullptr);
  check_overrides(to, model);
  const std::uint64_t bytes = size_of_prepared(source, formats);
  if (first)
    spdlog::info("{} becomes {:.2f} GB in {}: {}", source.path().string(), static_cast<double>(bytes) / 1e9, o.out,
                 formats_text(model));
  const auto began = std::chrono::steady_clock::now();
  const Prepared made = prepare_base(source, formats, o.out, rendezvous, PreparedProgress());
  if (!first) return;
  if (made == Prepared::kWasThere) {
    fmt::print("{} holds this base already\n", o.out);
    return;
  }
  fmt::print("{} is ready after {:.1f} s; train with base_model: {}\n", o.out,
             std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(), o.out);
}

}  // namespace

Verb add_quantize(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("quantize", "prepare a base once, for any number of ranks; also under mpirun");
  const auto o = std::make_shared<QuantizeOptions>();
  verb->add_option("--model", o->model, "a Hugging Face folder, a GGUF file or a hub name")
      ->required()
      ->type_name("MODEL");
  verb->add_option("--out", o->out, "the folder to make")->required()->type_name("BASE");
  CLI::Option* format =
      verb->add_option("--format", o->quantization.format, "of matrices; else gguf for a quantised GGUF, or nf4")
          ->check(CLI::IsMember(base_formats()));
  verb->add_option("--group-size", o->quantization.group_size, "values of nf4 that share a scale")
      ->check(CLI::IsMember({32, 64, 128, 256, 512, 1024, 2048, 4096}))
      ->capture_default_str();
  verb->add_option("--double-quant", o->quantization.double_quant, "quantise the scales of nf4, too")
      ->capture_default_str();
  verb->add_option("key=value", o->settings, "quantization.overrides={down_proj: bf16}: formats of modules' own")
      ->type_name("");
  return [o, format](Rendezvous& rendezvous) {
    o->quantization.by_name = format->count() > 0;
    for (const std::string& setting : o->settings) o->quantization.overrides = format_rules(setting);
    quantize(rendezvous, *o);
  };
}

}  // namespace shardlora
