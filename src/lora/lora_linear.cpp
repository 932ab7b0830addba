#include "lora/lora_linear.h"

namespace shardlora {
namespace {

// What A sees of x.
ConstTensor dropped(Ops& ops, ConstTensor x, const LoraLinear& linear, Tensor spare) {
  if (!linear.drops()) return x;
  ops.dropout(spare, x, *linear.noise, linear.dropout, Accumulate::kNo);
  return spare;
}

}  // namespace

void project_down(Ops& ops, Tensor xa, ConstTensor x, const LoraLinear& linear, Tensor spare) {
  if (!linear.adapted()) return;
  ops.matmul(xa, dropped(ops, x, linear, spare), Op::kNone, linear.a, Op::kTranspose, Accumulate::kNo, linear.scale);
}

void forward(Ops& ops, Tensor y, Tensor xa, ConstTensor x, ConstTensor weight, const LoraLinear& linear, Tensor spare) {
  ops.matmul(y, x, Op::kNone, weight, Op::kTranspose, Accumulate::kNo);
  if (linear.bias) ops.add_bias(y, linear.bias);
  if (!linear.adapted()) return;
  project_down(ops, xa, x, linear, spare);
  ops.matmul(y, xa, Op::kNone, linear.b, Op::kTranspose, Accumulate::kYes);
}

void backward(Ops& ops, Tensor dx, Tensor dxa, ConstTensor dy, ConstTensor weight, const LoraLinear& linear,
              Accumulate accumulate, Tensor spare) {
  ops.matmul(dx, dy, Op::kNone, weight, Op::kNone, accumulate);
  if (!linear.adapted()) return;
  ops.matmul(dxa, dy, Op::kNone, linear.b, Op::kNone, Accumulate::kNo, linear.scale);
  if (!linear.drops()) return ops.matmul(dx, dxa, Op::kNone, linear.a, Op::kNone, Accumulate::kYes);
  ops.matmul(spare, dxa, Op::kNone, linear.a, Op::kNone, Accumulate::kNo);
  ops.dropout(dx, spare, *linear.noise, linear.dropout, Accumulate::kYes);
}

void gradients(Ops& ops, std::vector<WeightGradient>& jobs, const LoraLinear& linear, ConstTensor x, ConstTensor xa,
               ConstTensor dy, ConstTensor dxa, Tensor spare) {
  if (!linear.adapted()) return;
  jobs.push_back({linear.da, dxa, dropped(ops, x, linear, spare)});
  jobs.push_back({linear.db, dy, xa});
}

}  // namespace shardlora
