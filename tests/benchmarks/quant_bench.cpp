// Quantising and dequantising a matrix of 4096 x 4096 on one thread: gigabytes of values a second, f32 in, bf16 out,
// and beside them a plain copy of as many bytes. A JSON object; scripts/bench_quantization runs it beside bitsandbytes.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "backend/cpu/kernels.h"
#include "quant/packed.h"
#include "quant/random_blocks.h"

namespace shardlora {
namespace {

constexpr std::int64_t kValues = 4096 * 4096;
constexpr int kRounds = 7;

double gigabytes_per_second(double bytes, const std::function<void()>& work) {
  std::vector<double> rates;
  for (int round = 0; round < kRounds; ++round) {
    const auto began = std::chrono::steady_clock::now();
    work();
    rates.push_back(bytes / std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() / 1e9);
  }
  std::nth_element(rates.begin(), rates.begin() + kRounds / 2, rates.end());
  return rates[kRounds / 2];
}

void run() {
  omp_set_num_threads(1);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.02F);
  std::vector<float> values(kValues);
  for (float& v : values) v = normal(random);
  std::vector<BF16> out(kValues), copied(kValues);
  const Tensor y{reinterpret_cast<std::byte*>(out.data()), DType::kBF16, {kValues}};
  const double in_bytes = 4.0 * kValues, out_bytes = 2.0 * kValues;

  fmt::print("{{\"copy\": {:.3f}",
             gigabytes_per_second(out_bytes, [&] { std::memcpy(copied.data(), out.data(), 2 * kValues); }));
  for (const bool double_quant : {false, true}) {
    const Format format{Codec::kNF4, 64, double_quant};
    Packed packed(format, values);
    const char* name = double_quant ? "nf4 double" : "nf4";
    fmt::print(", \"quantize {}\": {:.3f}", name,
               gigabytes_per_second(in_bytes, [&] { quantize(format, values, packed.sections()); }));
    fmt::print(", \"dequantize {}\": {:.3f}", name,
               gigabytes_per_second(out_bytes, [&] { cpu::dequantize(y, packed.tensor); }));
  }
  for (const Format& format : ggml_formats()) {
    const std::vector<std::byte> blocks = random_blocks(format, kValues, 1);
    fmt::print(", \"dequantize {}\": {:.3f}", name_of(format),
               gigabytes_per_second(out_bytes, [&] { cpu::dequantize(y, {format, {kValues}, {blocks.data()}}); }));
  }
  fmt::print("}}\n");
}

}  // namespace
}  // namespace shardlora

int main() { shardlora::run(); }
