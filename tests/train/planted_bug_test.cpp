// Bugs planted on purpose: each test puts one mistake into an otherwise right engine and expects the comparisons of
// golden_test to find it. A comparison that one of these slips through is too weak.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "decorators.h"
#include "golden_comparison.h"
#include "sanitized.h"

namespace shardlora {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// ---- A missing wait. The ranks' streams dawdle, so that what is not waited for is not there yet; memory reads as NaN
// until then.

class MissingWait : public testing::Test {
 protected:
  void SetUp() override {
    if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer stops at the planted race itself";
  }
  static GoldenJob job(Prefetch prefetch) {
    return {.ranks = 2, .steps = 3, .mode = StreamMode::kDelayed, .prefetch = prefetch};
  }
};

// A device whose compute is deaf to the stream of `comm`, which an empty collective tells. Collective.
std::unique_ptr<Device> deaf_device(Device& device, Communicator& comm) {
  auto compute = std::make_unique<DeafStream>(device.compute());
  compute->be_deaf_to(comm.all_gather(nullptr, nullptr, 0, {}).stream);
  return std::make_unique<DeviceDecorator>(device, std::move(compute), nullptr);
}

// Begins without waiting for what it should come after. That has happened when the host has waited, as above.
class HastyCommunicator final : public CommunicatorDecorator {
 public:
  using CommunicatorDecorator::CommunicatorDecorator;
  Event all_gather(std::byte* out, const std::byte* mine, std::size_t share, Event after) override {
    late_.push_back(after);
    return CommunicatorDecorator::all_gather(out, mine, share, {});
  }
  Event all_to_all(std::byte* out, std::span<const std::size_t> receive, const std::byte* in,
                   std::span<const std::size_t> send, Event after) override {
    late_.push_back(after);
    return CommunicatorDecorator::all_to_all(out, receive, in, send, {});
  }
  void synchronize(Event event) override {
    CommunicatorDecorator::synchronize(event);
    for (const Event& late : std::exchange(late_, {}))
      if (late.stream != nullptr) late.stream->synchronize(late);
  }

 private:
  std::vector<Event> late_;
};

TEST_F(MissingWait, WithoutOneTheDawdlingRunIsRight) {
  for (const Prefetch prefetch : {Prefetch::kNo, Prefetch::kYes}) EXPECT_THAT(differences(job(prefetch)), IsEmpty());
}

TEST_F(MissingWait, OfTheLayerForItsGatherIsCaught) {
  GoldenJob broken = job(Prefetch::kNo);  // nothing is ahead of its use, so every wait matters
  broken.plant = [](Device& device, Communicator& gathers, Communicator&) {
    return PlantedParts{deaf_device(device, gathers), nullptr, nullptr};
  };
  EXPECT_THAT(differences(broken), Not(IsEmpty()));
}

TEST_F(MissingWait, OfTheOptimizerForTheReductionIsCaught) {
  GoldenJob broken = job(Prefetch::kYes);
  broken.plant = [](Device& device, Communicator&, Communicator& reductions) {
    return PlantedParts{deaf_device(device, reductions), nullptr, nullptr};
  };
  EXPECT_THAT(differences(broken), Not(IsEmpty()));
}

TEST_F(MissingWait, OfTheGatherForTheSlotIsCaught) {
  GoldenJob broken = job(Prefetch::kYes);
  broken.plant = [](Device&, Communicator& gathers, Communicator&) {
    return PlantedParts{nullptr, std::make_unique<HastyCommunicator>(gathers), nullptr};
  };
  EXPECT_THAT(differences(broken), Not(IsEmpty()));
}

TEST_F(MissingWait, OfTheReductionForTheGradientIsCaught) {
  GoldenJob broken = job(Prefetch::kYes);
  broken.plant = [](Device&, Communicator&, Communicator& reductions) {
    return PlantedParts{nullptr, nullptr, std::make_unique<HastyCommunicator>(reductions)};
  };
  EXPECT_THAT(differences(broken), Not(IsEmpty()));
}

// ---- A dropped term of a backward pass. The forward pass stays right: only the gradients can tell.

struct WithoutRotatingBack final : OpsDecorator {
  using OpsDecorator::OpsDecorator;
  void rope(Tensor x, ConstTensor positions, ConstTensor inv_freq, float sign) override {
    if (sign > 0) OpsDecorator::rope(x, positions, inv_freq, sign);
  }
};

// The residual's share of a layer input's gradient: the only sums of matrices in place.
struct WithoutResidualGradient final : OpsDecorator {
  using OpsDecorator::OpsDecorator;
  void add(Tensor y, ConstTensor a, ConstTensor b) override {
    if (y.shape.rank() == 1 || y.data != a.data) OpsDecorator::add(y, a, b);
  }
};

// The adapter's share of an input's gradient, s (dy B) A: products over the adapter's rank.
struct WithoutAdapterInputGradient final : OpsDecorator {
  using OpsDecorator::OpsDecorator;
  void matmul(Tensor y, ConstTensor a, Op op_a, ConstTensor b, Op op_b, Accumulate accumulate, float alpha) override {
    constexpr std::int64_t kRank = 4;
    if (accumulate == Accumulate::kNo || op_b == Op::kTranspose || a.dim(1) != kRank)
      OpsDecorator::matmul(y, a, op_a, b, op_b, accumulate, alpha);
  }
};

// The way of a norm's input through the root mean square: what is left is dy w / rms.
struct WithoutGradientOfRms final : OpsDecorator {
  using OpsDecorator::OpsDecorator;
  void rms_norm_backward(Tensor dx, ConstTensor dy, ConstTensor, ConstTensor inv_rms, ConstTensor w,
                         Accumulate accumulate) override {
    // At x = 0 the dropped term is zero.
    zeros_.resize(dx.bytes());
    OpsDecorator::rms_norm_backward(dx, dy, {zeros_.data(), dx.dtype, dx.shape}, inv_rms, w, accumulate);
  }
  std::vector<std::byte> zeros_;
};

template <typename Faulty>
Differences differences_with(const std::string& variant) {
  return differences({.variant = variant, .steps = 1, .plant = [](Device& device, Communicator&, Communicator&) {
                        return PlantedParts{
                            std::make_unique<DeviceDecorator>(device, nullptr, std::make_unique<Faulty>(device.ops())),
                            nullptr, nullptr};
                      }});
}

template <typename Faulty>
class DroppedTerm : public testing::Test {};
TYPED_TEST_SUITE_P(DroppedTerm);

TYPED_TEST_P(DroppedTerm, IsCaughtByTheGradients) {
  for (const char* variant : {"tied", "untied", "wide"}) {
    const Differences found = differences_with<TypeParam>(variant);
    EXPECT_THAT(found, Contains(StartsWith("gradient of"))) << variant;
    EXPECT_THAT(found, Each(HasSubstr("gradient"))) << variant;  // loss and logits of the first step are right
  }
}

struct Names {
  template <typename T>
  static std::string GetName(int) {
    if (std::is_same_v<T, WithoutRotatingBack>) return "RotatingBack";
    if (std::is_same_v<T, WithoutResidualGradient>) return "Residual";
    if (std::is_same_v<T, WithoutAdapterInputGradient>) return "AdapterInput";
    return "RootMeanSquare";
  }
};
REGISTER_TYPED_TEST_SUITE_P(DroppedTerm, IsCaughtByTheGradients);
using DroppedTerms =
    testing::Types<WithoutRotatingBack, WithoutResidualGradient, WithoutAdapterInputGradient, WithoutGradientOfRms>;
INSTANTIATE_TYPED_TEST_SUITE_P(Of, DroppedTerm, DroppedTerms, Names);

// ---- Rows of Q and K left in the order of the GGUF file.

TEST(SwappedRows, OfQueryAndKeyAreCaughtByTheLoss) {
  for (const char* variant : {"tied", "untied", "wide"}) {
    GoldenJob broken{.variant = variant, .steps = 1};
    broken.rename = [](StoredName name) { return StoredName{name.name, 0}; };
    EXPECT_THAT(differences(broken), AllOf(Contains(StartsWith("logits")), Contains(StartsWith("loss")))) << variant;
  }
}

TEST(SwappedRows, OfKeyAloneAreCaughtByTheLoss) {
  GoldenJob broken{.steps = 1};
  broken.rename = [](StoredName name) {
    return name.name.ends_with("attn_k.weight") ? StoredName{name.name, 0} : name;
  };
  EXPECT_THAT(differences(broken), Contains(StartsWith("loss")));
}

}  // namespace
}  // namespace shardlora
