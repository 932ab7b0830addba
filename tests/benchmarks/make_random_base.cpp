// A prepared base with random weights (checkpoint/random_base.h), for scripts/big_model_demo.
#include <CLI/CLI.hpp>
#include <chrono>

#include "base/error.h"
#include "base/parallel.h"
#include "checkpoint/random_base.h"

int main(int argc, char** argv) {
  using namespace shardlora;
  CLI::App app("Makes a prepared base with random weights, as large as a configuration says.");
  std::filesystem::path model, out;
  RandomBase options;
  app.add_option("--model", model, "a folder with config.json and the files of a tokenizer")->required();
  app.add_option("--out", out, "the folder to make")->required();
  app.add_option("--layers", options.layers, "instead of the configuration's");
  app.add_option("--seed", options.seed, "other weights")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    options.threads = available_processors();
    const auto began = std::chrono::steady_clock::now();
    const auto bytes = static_cast<double>(make_random_base(model, out, options));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    fmt::print("{}: {:.2f} GB in {:.1f} s, {:.2f} GB/s\n", out.string(), bytes / 1e9, seconds, bytes / 1e9 / seconds);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}
