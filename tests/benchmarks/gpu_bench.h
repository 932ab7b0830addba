// What gpu_bench measures: one line a measurement, for the table and for JSON.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backend/device.h"

namespace shardlora {

struct Measurement {
  std::string name;
  double milliseconds = 0;  // the median
  double rate = 0;          // in `unit`
  std::string unit;         // "GB/s", "TFLOP/s", "tokens/s"
  double of_ceiling = 0;    // rate / the machine's measured ceiling of that kind; 0: this is the ceiling, or has none
};

// What ops are measured at; as it stands, those of an 8B model's layer.
struct OpShapes {
  std::int64_t tokens = 2048, hidden = 4096, wide = 14336, heads = 32, groups = 8, head = 128, vocabulary = 128256,
               chunk = 512, rank = 16;
  std::int64_t adapter = 1 << 25;  // values of AdamW
  std::size_t copied = std::size_t{1} << 30;
  std::int64_t square = 8192;  // rows and columns of the product that is the ceiling
};

// What the machine can do, measured first.
struct Ceilings {
  double copy_gb_per_s = 0;       // bytes read and written
  double matmul_tflop_per_s = 0;  // the compute dtype
};

// Median over `rounds` of submitting `work` and waiting for it; each round repeats it so often that waiting is nothing.
double median_milliseconds(Device& device, const std::function<void()>& work, int rounds = 7);

Ceilings measure_ceilings(Device& device, DType dtype, const OpShapes& s, std::vector<Measurement>& out);
void measure_ops(Device& device, DType dtype, const OpShapes& s, const Ceilings& ceilings,
                 std::vector<Measurement>& out);

struct StepSettings {
  std::string name;
  std::int64_t hidden, intermediate, layers, heads, kv_heads, head_dim, vocab;
  std::int64_t tokens = 2048, micro_batch = 1, micro_batches = 4;
  bool recompute = true;
  int steps = 3;
};

// Training steps of QLoRA (NF4, rank 16, all linears) on a random base: tokens/s of the median step, and peak bytes.
Measurement measure_step(Device& device, DType dtype, const StepSettings& settings, std::size_t& peak_bytes);

}  // namespace shardlora
