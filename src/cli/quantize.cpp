#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>

#include "base/log.h"
#include "checkpoint/prepare_base.h"
#include "cli/verbs.h"
#include "recipe/recipe.h"
#include "run/base_formats.h"
#include "run/progress.h"

namespace shardlora {
namespace {

using Clock = std::chrono::steady_clock;

struct QuantizeOptions {
  std::string model, out;
  Quantization quantization{.format = kFourBit};
};

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// One line that stays on a terminal; elsewhere a line every few seconds.
class PreparedSoFar {
 public:
  void operator()(std::uint64_t done, std::uint64_t all) {
    if (done == 0) began_ = told_ = Clock::now();  // before that the source was hashed
    if (done == 0) return;
    const double seconds = seconds_since(began_), rate = static_cast<double>(done) / std::max(seconds, 1e-9);
    const bool last = done == all;
    if (!last && seconds_since(told_) < (terminal_ ? 0.2 : 5)) return;
    told_ = Clock::now();
    const double gigabytes = static_cast<double>(all) / 1e9;
    const std::string left = minutes_and_seconds(static_cast<double>(all - done) / rate);
    const std::string facts = fmt::format("{:.2f}/{:.2f} GB | {:.2f} GB/s | left {}", static_cast<double>(done) / 1e9,
                                          gigabytes, rate / 1e9, left);
    if (terminal_)
      fmt::print("\r{} {}\033[K{}", progress_bar(static_cast<std::int64_t>(done), static_cast<std::int64_t>(all), 20),
                 facts, last ? "\n" : "");
    else
      fmt::print("{}\n", facts);
    std::fflush(stdout);
  }

 private:
  bool terminal_ = isatty(STDOUT_FILENO) != 0;
  Clock::time_point began_, told_;
};

void quantize(Rendezvous& rendezvous, const QuantizeOptions& o) {
  start_log(rendezvous.rank());
  const bool first = rendezvous.rank() == 0;
  const BaseModel source = BaseModel::open(o.model);
  if (source.is_prepared()) fail("{}: is a prepared base already; give the model that it was made of", o.model);
  const FormatOf formats = format_of(settled(o.quantization, source), source, std::nullopt);
  const std::uint64_t bytes = size_of_prepared(source, formats);
  if (first)
    spdlog::info("{} becomes {:.2f} GB in {}: {}", source.path().string(), static_cast<double>(bytes) / 1e9, o.out,
                 formats_text({source.config(), formats, nullptr}));
  const Clock::time_point began = Clock::now();
  const Prepared made = prepare_base(source, formats, o.out, rendezvous, PreparedSoFar());
  if (!first) return;
  if (made == Prepared::kWasThere) {
    fmt::print("{} holds this base already\n", o.out);
    return;
  }
  fmt::print("{} is ready after {:.1f} s; train with base_model: {}\n", o.out, seconds_since(began), o.out);
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
  return [o, format](Rendezvous& rendezvous) {
    o->quantization.by_name = format->count() > 0;
    quantize(rendezvous, *o);
  };
}

}  // namespace shardlora
