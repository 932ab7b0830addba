#include "lora/lora_linear.h"

namespace shardlora {

void forward(Ops& ops, Tensor y, Tensor xa, ConstTensor x, const LoraLinear& linear) {
  ops.matmul(y, x, Op::kNone, linear.weight, Op::kTranspose, Accumulate::kNo);
  if (linear.bias) ops.add_bias(y, linear.bias);
  if (!linear.adapted()) return;
  ops.matmul(xa, x, Op::kNone, linear.a, Op::kTranspose, Accumulate::kNo);
  ops.scale(xa, linear.scale);
  ops.matmul(y, xa, Op::kNone, linear.b, Op::kTranspose, Accumulate::kYes);
}

void backward(Ops& ops, Tensor dx, Tensor dxa, ConstTensor dy, const LoraLinear& linear, Accumulate accumulate) {
  ops.matmul(dx, dy, Op::kNone, linear.weight, Op::kNone, accumulate);
  if (!linear.adapted()) return;
  ops.matmul(dxa, dy, Op::kNone, linear.b, Op::kNone, Accumulate::kNo);
  ops.scale(dxa, linear.scale);
  ops.matmul(dx, dxa, Op::kNone, linear.a, Op::kNone, Accumulate::kYes);
}

void gradients(std::vector<WeightGradient>& jobs, const LoraLinear& linear, ConstTensor x, ConstTensor xa,
               ConstTensor dy, ConstTensor dxa) {
  if (!linear.adapted()) return;
  jobs.push_back({linear.da, dxa, x});
  jobs.push_back({linear.db, dy, xa});
}

}  // namespace shardlora
