// What a step may launch, exactly: whoever changes a number here has looked at why it changed.
#include <gtest/gtest.h>

#include <ostream>

#include "emulation/tiny_run.h"

namespace shardlora {
namespace {

struct Launches {
  int kernels, products;
  bool operator==(const Launches&) const = default;
  Launches operator-(const Launches& o) const { return {kernels - o.kernels, products - o.products}; }
};
void PrintTo(const Launches& l, std::ostream* out) { *out << l.kernels << " kernels, " << l.products << " products"; }

Launches in_a_step(TinyJob job) {
  const auto in_a_run = [&](int steps) {
    job.steps = steps;
    const int kernels = calls_in_a_run(job, {"cudaLaunchKernel"});
    return Launches{kernels, emulation::calls_of("cublasLtMatmul")};
  };
  const Launches two = in_a_run(2);
  return in_a_run(3) - two;
}

// One micro-batch; every linear has an adapter and a 4-bit base.
Launches of_a_layer(Recompute recompute) {
  const Launches three = in_a_step({.layers = 3, .micro_batches = 1, .recompute = {recompute}});
  return in_a_step({.layers = 4, .micro_batches = 1, .recompute = {recompute}}) - three;
}

TEST(StepOnTheGpu, LaunchesExactlyThatMuchForALayer) {
  EXPECT_EQ(of_a_layer(Recompute::kYes), (Launches{43, 75})) << "forward, once more, backward, update";
  EXPECT_EQ(of_a_layer(Recompute::kNo), (Launches{36, 56})) << "forward, backward, update";
  EXPECT_EQ(of_a_layer(Recompute::kCheap), (Launches{39, 56})) << "two norms and a product of gates once more";
}

// Of three layers. The last one is visited twice running, so it is decoded once.
TEST(StepOnTheGpu, LaunchesExactlyThatMuch) {
  EXPECT_EQ(in_a_step({.micro_batches = 1}), (Launches{118, 227}));
  EXPECT_EQ(in_a_step({.micro_batches = 2}), (Launches{200, 454}));
}

// Two ranks, three layers, an embedding and a head. A group is a collective of one rank: twelve gathers, the exchange
// at the end of the step among them, and the gradients of three layers, which go from one rank to the other.
TEST(StepOnTheGpu, TalksExactlyThatOften) {
  EXPECT_EQ(calls_in_a_step(2, {"ncclGroupEnd"}), 2 * (12 + 3));
  EXPECT_EQ(calls_in_a_step(2, {"ncclAllGather"}), 2 * 12);
  EXPECT_EQ(calls_in_a_step(2, {"ncclSend"}), 3);
}

}  // namespace
}  // namespace shardlora
