// A loss or a gradient that is no number ends the step on every rank with the rows or the layer it came from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "decorators.h"
#include "golden_job.h"

namespace shardlora {
namespace {

using testing::HasSubstr;

struct LossIsNotANumber final : OpsDecorator {
  using OpsDecorator::OpsDecorator;
  void cross_entropy(Tensor losses, Tensor dlogits, ConstTensor logits, ConstTensor targets, float scale) override {
    OpsDecorator::cross_entropy(losses, dlogits, logits, targets, scale);
    if (dlogits)
      OpsDecorator::matmul(losses.view({losses.numel(), 1}), logits, Op::kNone, logits.rows(0, 1), Op::kTranspose,
                           Accumulate::kNo, NAN);
  }
};

// Of the adapters of one layer: the first products of a backward pass are the last layer's.
struct GradientIsInfinite final : OpsDecorator {
  using OpsDecorator::OpsDecorator;
  void weight_gradients(std::span<const WeightGradient> jobs) override {
    OpsDecorator::weight_gradients(jobs);
    if (rehearsing() || calls_++ != 0) return;
    const WeightGradient& job = jobs[0];
    OpsDecorator::matmul(job.dw, job.dy, Op::kTranspose, job.x, Op::kNone, Accumulate::kNo, INFINITY);
  }
  int calls_ = 0;
};

template <typename Faulty>
std::string error_on(int ranks) {
  GoldenJob job{.ranks = ranks, .steps = 1};
  job.plant = [](Device& device, Communicator&, Communicator&) {
    return PlantedParts{std::make_unique<DeviceDecorator>(device, nullptr, std::make_unique<Faulty>(device.ops())),
                        nullptr, nullptr};
  };
  try {
    run(job);
  } catch (const Diverged& diverged) {
    return diverged.what();
  }
  return "did not diverge";
}

TEST(Diverged, NamesTheRowsOfTheLoss) {
  for (const int ranks : {1, 2})
    EXPECT_THAT(error_on<LossIsNotANumber>(ranks), HasSubstr("the loss of batches.json:1")) << ranks << " ranks";
}

TEST(Diverged, NamesTheLayerOfTheGradient) {
  EXPECT_THAT(error_on<GradientIsInfinite>(1), HasSubstr("the gradient of model.layers.1 is not finite"));
}

}  // namespace
}  // namespace shardlora
