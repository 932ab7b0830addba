// Quantising and dequantising a matrix of 4096 x 4096 on one thread: gigabytes of values a second, f32 in; bf16, f32
// and f16 out, and how much that is of a plain copy of as many bytes, made in turns with it. A JSON object, by name;
// scripts/bench_quantization runs it beside bitsandbytes.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "backend/cpu/kernels.h"
#include "benchmarks/timing.h"
#include "quant/packed.h"
#include "quant/random_blocks.h"

namespace shardlora {
namespace {

constexpr std::int64_t kValues = 4096 * 4096;
constexpr int kRounds = 9;

void print_quantize(const std::string& name, const std::function<void()>& work) {
  std::vector<double> rates;
  for (int round = 0; round < kRounds; ++round) rates.push_back(4.0 * kValues / seconds(work) / 1e9);
  fmt::print("  \"quantize {}\": {{\"rate\": {:.3f}}},\n", name, median(rates));
}

// What decodes go to, and what a copy of that goes to.
std::vector<float> out(kValues), copied(kValues);

void print_dequantize(const PackedTensor& w) {
  for (const DType dtype : {DType::kBF16, DType::kF32, DType::kF16}) {
    const Tensor y{reinterpret_cast<std::byte*>(out.data()), dtype, {kValues}};
    const auto copy = [&] { std::memcpy(copied.data(), y.data, y.bytes()); };
    const auto decode = [&] { cpu::dequantize(y, w); };
    std::vector<double> rates, of_copy;
    for (int round = 0; round < kRounds; ++round) {
      const double plain = seconds(copy), decoded = seconds(decode);
      rates.push_back(static_cast<double>(y.bytes()) / decoded / 1e9);
      of_copy.push_back(plain / decoded);
    }
    fmt::print("  \"dequantize {} {}\": {{\"rate\": {:.3f}, \"of_copy\": {:.3f}}},\n", name_of(w.format),
               name_of(dtype), median(rates), median(of_copy));
  }
}

void run() {
  omp_set_num_threads(1);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.02F);
  std::vector<float> values(kValues);
  for (float& v : values) v = normal(random);

  fmt::print("{{\n");
  for (const bool double_quant : {false, true}) {
    const Format format{Codec::kNF4, 64, double_quant};
    Packed packed(format, values);
    print_quantize(name_of(format), [&] { quantize(format, values, packed.sections()); });
    print_dequantize(packed.tensor);
  }
  for (const Format& format : ggml_formats()) {
    const std::vector<std::byte> blocks = random_blocks(format, kValues, 1);
    print_dequantize({format, {kValues}, {blocks.data()}});
  }
  const auto copy = [] { std::memcpy(copied.data(), out.data(), 2 * kValues); };
  fmt::print("  \"copy bf16\": {{\"rate\": {:.3f}}}\n}}\n", 2.0 * kValues / seconds(copy) / 1e9);
}

}  // namespace
}  // namespace shardlora

int main() { shardlora::run(); }
