// The same step, bit for bit, however the work is laid out.
#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "comm/single_rendezvous.h"
#include "tiny_job.h"

namespace shardlora {
namespace {

const TinyResult& reference() {
  static const TinyResult result = run({});
  return result;
}

TEST(TrainStep, LearnsAtAll) {
  const TinyResult result = run({.steps = 12});
  EXPECT_LT(result.losses.back(), 0.97 * result.losses.front());
}

TEST(TrainStep, GivesTheSameBitsOnOneToFourRanks) {
  for (const int ranks : {2, 3, 4}) EXPECT_EQ(run({.ranks = ranks}), reference()) << ranks << " ranks";
}

TEST(TrainStep, GivesTheSameBitsWhenARankHasNoMicroBatch) {
  EXPECT_EQ(run({.ranks = 4, .micro_batches = 2}), run({.micro_batches = 2}));
}

TEST(TrainStep, GivesTheSameBitsForEveryWave) {
  for (const std::int64_t wave : {1, 2, 3}) {
    EXPECT_EQ(run({.wave = wave}), reference()) << "wave of " << wave;
    EXPECT_EQ(run({.ranks = 2, .wave = wave}), reference()) << "wave of " << wave << " on two ranks";
  }
}

TEST(TrainStep, GivesTheSameBitsWithAndWithoutRecomputing) {
  EXPECT_EQ(run({.recompute = {Recompute::kNo}}), reference());
  EXPECT_EQ(run({.ranks = 2, .wave = 1, .recompute = {Recompute::kNo}}), reference());
  EXPECT_EQ(run({.ranks = 2, .wave = 2, .recompute = {Recompute::kCheap}}), reference());
  std::vector<Recompute> of_layers{Recompute::kCheap, Recompute::kYes, Recompute::kNo};
  for (std::size_t i = 0; i < of_layers.size(); ++i) {
    EXPECT_EQ(run({.ranks = 2, .wave = 2, .recompute = of_layers}), reference()) << i;
    std::rotate(of_layers.begin(), of_layers.begin() + 1, of_layers.end());
  }
}

TEST(TrainStep, GivesTheSameBitsShardedAndReplicated) {
  EXPECT_EQ(run({.ranks = 3, .frozen = {{Tier::kDevice, Sharding::kReplicated}}}), reference());
}

// Every residence beside every other one: five units, and five residences that shift by a place.
TEST(TrainStep, GivesTheSameBitsFromEveryResidence) {
  std::vector<Residence> residences{{Tier::kPinned, Sharding::kSharded},
                                    {Tier::kDisk, Sharding::kSharded},
                                    {Tier::kDevice, Sharding::kReplicated},
                                    {Tier::kPinned, Sharding::kReplicated},
                                    {Tier::kDisk, Sharding::kReplicated}};
  for (std::size_t i = 0; i < residences.size(); ++i) {
    const int ranks = 1 + static_cast<int>(i) % 4;
    EXPECT_EQ(run({.ranks = ranks, .frozen = residences}), reference()) << i;
    std::rotate(residences.begin(), residences.begin() + 1, residences.end());
  }
  for (const Residence& residence : residences) {
    EXPECT_EQ(run({.ranks = 2, .wave = 2, .frozen = {residence}, .mode = StreamMode::kDelayed}), reference());
    EXPECT_EQ(run({.ranks = 2, .steps = 4, .frozen = {residence}}).allocations, std::vector<std::uint64_t>(5));
  }
}

constexpr Tier kOnDevice = Tier::kDevice, kOnHost = Tier::kPinned;

TEST(TrainStep, GivesTheSameBitsWhereverTheOptimizerRests) {
  const std::vector<Residence> mixed{{kOnDevice}, {kOnHost}, {Tier::kDisk}};
  EXPECT_EQ(run({.threads = 2, .wave = 2, .frozen = mixed, .optimizer = {kOnHost}}), reference());
  EXPECT_EQ(run({.ranks = 3, .wave = 1, .frozen = mixed, .optimizer = {kOnHost, kOnDevice}}), reference());
  for (const std::uint64_t seed : {1, 2}) {
    const TinyResult result = run({.ranks = 2, .optimizer = {kOnHost}, .mode = StreamMode::kDelayed, .seed = seed});
    EXPECT_EQ(result, reference()) << seed;
    EXPECT_EQ(result.gradients, reference().gradients);
    EXPECT_EQ(result.allocations, std::vector<std::uint64_t>(4));
  }
}

TEST(TrainStep, GivesTheSameBitsWhereverSharesOfTheOptimizerRest) {
  const TinyResult one = run({.lora_rank = 16});
  EXPECT_EQ(run({.ranks = 2, .wave = 2, .optimizer = {kOnHost}, .lora_rank = 16, .mode = StreamMode::kDelayed}), one);
}

// A tied embedding's gradient has two parts, which are added where it rests.
TEST(TrainStep, GivesTheSameBitsWhereverTablesThatTrainRest) {
  TinyJob job{.saved = {"embed_tokens", "lm_head"}};
  const TinyResult one = run(job);
  job.ranks = 2;
  job.wave = 1;
  job.optimizer = {kOnHost};
  job.mode = StreamMode::kDelayed;
  EXPECT_EQ(run(job), one);
}

TEST(TrainStep, GivesTheSameBitsWhereverLayerInputsRest) {
  EXPECT_EQ(run({.layer_inputs = Tier::kPinned}), reference());
  for (const std::uint64_t seed : {1, 2, 3})
    EXPECT_EQ(run({.ranks = 2, .wave = 2, .layer_inputs = Tier::kPinned, .mode = StreamMode::kDelayed, .seed = seed}),
              reference());
  EXPECT_EQ(run({.layers = 1, .recompute = {Recompute::kNo}, .layer_inputs = Tier::kPinned}), run({.layers = 1}));
  EXPECT_EQ(run({.ranks = 2, .steps = 4, .layer_inputs = Tier::kPinned}).allocations, std::vector<std::uint64_t>(5));
}

// Of five layers three are read from the disk again, of one none.
TEST(TrainStep, GivesTheSameBitsWithLayerInputsOnDisk) {
  const TinyResult five = run({.layers = 5});
  EXPECT_EQ(run({.layers = 5, .layer_inputs = Tier::kDisk}), five);
  for (const std::int64_t wave : {1, 2})
    EXPECT_EQ(run({.ranks = 2, .layers = 5, .wave = wave, .layer_inputs = Tier::kDisk, .mode = StreamMode::kDelayed}),
              five);
  EXPECT_EQ(run({.layers = 1, .layer_inputs = Tier::kDisk}), run({.layers = 1}));
  EXPECT_EQ(run({.ranks = 2, .steps = 4, .layer_inputs = Tier::kDisk}).allocations, std::vector<std::uint64_t>(5));
}

// Seven micro-batches in steps of at most five: two of whole waves are two visits of every unit.
TEST(TrainStep, EvaluatesAsManyMicroBatchesAtAVisitAsTwoLayersInputsHaveRoomFor) {
  const auto evaluate = [](TinyJob job) {
    std::atomic<int> reads = 0;
    job.steps = 0;
    job.frozen = {{Tier::kDisk, Sharding::kReplicated}};
    job.reads = [&](int rank, std::size_t unit) { reads += rank == 0 && unit == 2 ? 1 : 0; };
    const double loss = run(job).eval_loss;
    return std::pair(loss, reads.load());
  };
  const auto [loss, reads] = evaluate({});
  const auto visits = [&, loss = loss, two = reads](const TinyJob& job) {
    const auto [same, r] = evaluate(job);
    EXPECT_EQ(same, loss);
    return 2.0 * r / two;
  };
  // Three layers' inputs and the head's: room for two of each micro-batch of the wave, twice.
  EXPECT_EQ(visits({.wave = 1}), 3 + 1);
  EXPECT_EQ(visits({.wave = 2}), 2 + 1);
  EXPECT_EQ(visits({.wave = 1, .recompute = {Recompute::kNo}}), 3 + 1);
  EXPECT_EQ(visits({.wave = 3, .layer_inputs = Tier::kPinned}), 2 + 1);
  EXPECT_EQ(visits({.ranks = 2, .wave = 1}), 2 + 1);
}

TEST(TrainStep, GivesTheSameBitsWhateverIsDecodedAtATime) {
  EXPECT_EQ(run({.decode = Decode::kMatrix}), reference());
  EXPECT_EQ(run({.ranks = 3, .wave = 1, .frozen = {{Tier::kPinned}}, .decode = Decode::kMatrix}), reference());
  TinyJob dense{.dropout = 0.1};
  const TinyResult all = run(dense);
  dense.decode = Decode::kMatrix;
  EXPECT_EQ(run(dense), all);
}

TEST(TrainStep, GivesTheSameBitsWithTwoThreads) { EXPECT_EQ(run({.threads = 2}), reference()); }

TEST(TrainStep, GivesTheSameBitsWithoutPrefetchAndWithoutPoison) {
  EXPECT_EQ(run({.ranks = 2, .poison = Poison::kNo, .prefetch = Prefetch::kNo}), reference());
}

TEST(TrainStep, GivesTheSameBitsWhenEveryStreamDawdles) {
  for (const std::uint64_t seed : {1, 2, 3})
    EXPECT_EQ(run({.ranks = 2, .mode = StreamMode::kDelayed, .seed = seed}), reference()) << "seed " << seed;
}

TEST(TrainStep, GivesTheSameBitsWhileEveryStreamIsTimed) {
  const TinyResult timed = run({.ranks = 2,
                                .frozen = {{Tier::kDisk}, {Tier::kPinned}},
                                .optimizer = {Tier::kPinned},
                                .layer_inputs = Tier::kDisk,
                                .timing = Timing::kSpans});
  EXPECT_EQ(timed, reference());
  EXPECT_EQ(timed.allocations, std::vector<std::uint64_t>(4));
  std::map<std::string, std::int64_t> ends;  // of each stream's last span, but for what lies in a span of compute
  for (const Span& span : timed.spans) {
    EXPECT_LE(span.begin, span.end) << span.name;
    if (span.stream != "compute") {
      EXPECT_GE(span.begin, ends[span.stream]) << span.stream << ": " << span.name;
    }
    ends[span.stream] = span.end;
  }
  for (const char* stream :
       {"compute", "reads", "uploads", "layer inputs", "layer input files", "masters", "host", "gathers", "reductions"})
    EXPECT_TRUE(ends.contains(stream)) << stream;
}

TEST(TrainStep, GivesTheSameBitsUntiedAndUnquantisedToo) {
  for (const Codec codec : {Codec::kF32, Codec::kBF16, Codec::kF16, Codec::kNF4}) {
    const TinyJob one{.codec = codec, .tied = false};
    TinyJob three = one;
    three.ranks = 3;
    three.wave = 1;
    EXPECT_EQ(run(three), run(one));
  }
}

TEST(TrainStep, GivesTheSameBitsInBf16) {
  if (make_device_of_rank({}, SingleRendezvous())->support(DType::kBF16) == Support::kNone)
    GTEST_SKIP() << "this CPU has no bf16 products";
  const TinyResult one = run({.dtype = DType::kBF16});
  EXPECT_EQ(run({.ranks = 2, .threads = 2, .dtype = DType::kBF16}), one);
  EXPECT_EQ(run({.ranks = 3, .wave = 1, .recompute = {Recompute::kNo}, .dtype = DType::kBF16}), one);
  EXPECT_EQ(run({.steps = 4, .dtype = DType::kBF16, .dropout = 0.1}).allocations, std::vector<std::uint64_t>(5));
}

// All that ops will need is taken when the step is made, before anybody decides what else fits.
TEST(TrainStep, AllocatesNothingOnceItIsMade) {
  const std::vector<std::uint64_t> nothing(5);
  EXPECT_EQ(run({.ranks = 2, .steps = 4}).allocations, nothing);
  EXPECT_EQ(run({.steps = 4, .wave = 1, .recompute = {Recompute::kNo}, .tied = false}).allocations, nothing);
  EXPECT_EQ(run({.steps = 4, .saved = {"embed_tokens", "lm_head"}, .dropout = 0.1, .neftune_alpha = 5}).allocations,
            nothing);
}

TEST(TrainStep, KeepsOnlyItsShareOfTheBaseAtRest) {
  for (const int ranks : {2, 3, 4}) {
    const TinyResult result = run({.ranks = ranks, .steps = 1});
    const std::size_t units = static_cast<std::size_t>(tiny_config(true).layers) + 1;
    for (const std::size_t bytes : result.frozen_at_rest)
      EXPECT_LE(bytes, result.frozen_bytes / static_cast<std::size_t>(ranks) + units * kPage) << ranks << " ranks";
  }
}

}  // namespace
}  // namespace shardlora
