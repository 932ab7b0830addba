// Ceilings of this machine, each op against them, and whole QLoRA steps. Usually run by scripts/gpu_bench:
//   gpu_bench [--backend cuda|cpu] [--json FILE] [--steps tiny|1b|8b|all|none] [--ops tiny|8b|none]
#include "benchmarks/gpu_bench.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "backend/cpu/cpu_device.h"
#include "backend/gpu.h"
#include "base/error.h"

namespace shardlora {

namespace {

// What training takes by itself.
DType fastest(const Device& device) {
  for (const DType dtype : {DType::kBF16, DType::kF16})
    if (device.support(dtype) == Support::kFast) return dtype;
  return DType::kF32;
}

std::vector<StepSettings> settings_of(const std::string& which) {
  const StepSettings tiny{.name = "tiny step",
                          .hidden = 64,
                          .intermediate = 128,
                          .layers = 2,
                          .heads = 4,
                          .kv_heads = 2,
                          .head_dim = 16,
                          .vocab = 256,
                          .tokens = 64};
  StepSettings one{.name = "1B-shaped step",
                   .hidden = 2048,
                   .intermediate = 8192,
                   .layers = 16,
                   .heads = 32,
                   .kv_heads = 8,
                   .head_dim = 64,
                   .vocab = 128256,
                   .micro_batch = 4};
  StepSettings eight{.name = "8B-shaped step",
                     .hidden = 4096,
                     .intermediate = 14336,
                     .layers = 32,
                     .heads = 32,
                     .kv_heads = 8,
                     .head_dim = 128,
                     .vocab = 128256,
                     .micro_batch = 2};
  std::vector<StepSettings> list;
  if (which == "tiny") return {tiny};
  for (const StepSettings& base : {one, eight}) {
    if (which != "all" && (which == "1b") != (base.layers == one.layers)) continue;
    for (const bool recompute : {true, false})
      for (const std::int64_t micro_batch : {base.micro_batch, 2 * base.micro_batch}) {
        StepSettings s = base;
        s.recompute = recompute;
        s.micro_batch = micro_batch;
        s.name = fmt::format("{}, 4 x {} x {} tokens{}", base.name, micro_batch, s.tokens,
                             recompute ? ", checkpointing" : "");
        list.push_back(s);
      }
  }
  return list;
}

// To see that all of it runs.
const OpShapes kTinyShapes{.tokens = 64,
                           .hidden = 64,
                           .wide = 128,
                           .heads = 4,
                           .groups = 2,
                           .head = 16,
                           .vocabulary = 256,
                           .chunk = 32,
                           .rank = 8,
                           .adapter = 1 << 10,
                           .copied = 1 << 20,
                           .square = 64};

int run(int argc, char** argv) {
  std::string backend = "cuda", json, steps = "all", ops = "8b";
  CLI::App app("Ceilings, ops and QLoRA steps on one device");
  app.add_option("--backend", backend)->check(CLI::IsMember({"cuda", "cpu"}));
  app.add_option("--json", json);
  app.add_option("--steps", steps)->check(CLI::IsMember({"tiny", "1b", "8b", "all", "none"}));
  app.add_option("--ops", ops)->check(CLI::IsMember({"tiny", "8b", "none"}));
  CLI11_PARSE(app, argc, argv);
  const auto make = [&] { return backend == "cuda" ? make_gpu_device({}) : make_cpu_device(); };
  nlohmann::json report;
  std::vector<Measurement> lines;
  {
    const std::unique_ptr<Device> device = make();
    fmt::print("{}\n", device->description());
    report["device"] = device->description();
    const DType dtype = fastest(*device);
    const OpShapes shapes = ops == "8b" ? OpShapes{} : kTinyShapes;
    if (ops != "none") measure_ops(*device, dtype, shapes, measure_ceilings(*device, dtype, shapes, lines), lines);
  }
  const auto print = [&](const Measurement& m, std::size_t peak) {
    std::string text = fmt::format("{:<46}{:>10.3f} ms{:>12.1f} {:<9}", m.name, m.milliseconds, m.rate, m.unit);
    if (m.of_ceiling > 0) text += fmt::format("{:>5.0f} %", 100 * m.of_ceiling);
    if (peak > 0) text += fmt::format("{:>7.1f} GiB", static_cast<double>(peak) / (1 << 30));
    fmt::print("{}\n", text);
    std::fflush(stdout);
    report["measurements"].push_back({{"name", m.name},
                                      {"milliseconds", m.milliseconds},
                                      {"rate", m.rate},
                                      {"unit", m.unit},
                                      {"of_ceiling", m.of_ceiling},
                                      {"peak_bytes", peak}});
  };
  for (const Measurement& m : lines) print(m, 0);
  if (steps != "none")
    for (const StepSettings& s : settings_of(steps)) {
      const std::unique_ptr<Device> device = make();
      std::size_t peak = 0;
      try {
        const Measurement m = measure_step(*device, fastest(*device), s, peak);
        print(m, peak);
      } catch (const Error& error) {  // too large for this card
        fmt::print("{:<46} {}\n", s.name, error.what());
      }
    }
  if (!json.empty()) std::ofstream(json) << report.dump(1) << '\n';
  return 0;
}

}  // namespace

}  // namespace shardlora

int main(int argc, char** argv) {
  try {
    return shardlora::run(argc, argv);
  } catch (const shardlora::Error& error) {
    fmt::print(stderr, "gpu_bench: {}\n", error.what());
    return 1;
  }
}
