// Embedding and head cut into units by rows of the vocabulary: the same model, and the same bits however the work is
// laid out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "backend/cpu/cpu_device.h"
#include "checkpoint/write_adapter.h"
#include "comm/single_rendezvous.h"
#include "golden_comparison.h"
#include "io/temporary_directory.h"
#include "nn/head.h"
#include "tiny_job.h"

namespace shardlora {
namespace {

using testing::IsEmpty;

// Three slices of the tiny vocabulary of 96, of 40, 40 and 16 rows, and of the goldens'.
constexpr TableCut kSlices{.most_elements = 40 * 32, .grain = 40};

GoldenJob cut_golden(const std::string& variant, int ranks, bool saved) {
  GoldenJob job{.variant = variant, .ranks = ranks, .steps = 2};
  if (saved) job.adapter = golden_path("adapter-saved-" + variant);
  job.cut = kSlices;
  return job;
}

TEST(TableCut, TrainsAsPeftTrains) {
  for (const char* variant : {"tied", "untied"}) {
    EXPECT_THAT(differences(cut_golden(variant, 1, false)), IsEmpty()) << variant;
    Golden saved(variant);
    saved.step = saved.training = read_golden_tensors(golden_path(fmt::format("saved-{}.safetensors", variant)));
    saved.training["loss"] = saved.training.at("losses");
    EXPECT_THAT(differences(cut_golden(variant, 2, true), saved), IsEmpty()) << variant << ", tables that train";
  }
}

// An adapter has whole tables: it goes into a model that is cut otherwise.
TEST(TableCut, AnAdapterIsWrittenWholeAndReadAgain) {
  for (const char* variant : {"tied", "untied"}) {
    const TemporaryDirectory directory;
    GoldenJob job = cut_golden(variant, 1, true);
    job.steps = 1;
    const GoldenResult trained = run(job)[0];
    write_adapter(directory.path(), trained.adapter);
    job.adapter = directory.path();
    job.steps = 0;
    EXPECT_EQ(run(job)[0].forward.logits, trained.trained.logits) << variant;
    job.cut = {};
    EXPECT_LE(distance(run(job)[0].forward.logits, trained.trained.logits), kLogitsLimit) << variant << ", uncut";
  }
}

// Tables as the base has them, and the same draws.
TEST(TableCut, ANewAdapterStartsAsInTheUncutModel) {
  for (const char* variant : {"tied", "untied"}) {
    const BaseModel base = BaseModel::open(golden_path(fmt::format("tiny-{}.gguf", variant)));
    const Format f32{.codec = Codec::kF32};
    const LoraConfig lora{
        .rank = 4, .alpha = 8, .target_modules = {"q_proj"}, .modules_to_save = {"embed_tokens", "lm_head"}};
    std::vector<Adapter> adapters;
    for (const TableCut& cut : {kSlices, kUncut}) {
      SingleRendezvous rendezvous;
      const auto device = make_device_of_rank({}, rendezvous);
      const auto comm = rendezvous.make_communicator(*device, "gathers");
      const ModelSpec model(base.config(), rest_as(f32, f32), &lora, cut);
      ParamStore store(*device, 0, 1, model.units());
      initialise_adapter(store, base, 3);
      const TemporaryDirectory directory;
      save_adapter(directory.path(), store, *comm, lora, "");
      adapters.push_back(read_adapter(directory.path()));
    }
    EXPECT_EQ(adapters[0].tensors, adapters[1].tensors) << variant;
  }
}

struct Tables {
  bool tied;
  std::vector<std::string> saved;
};

TinyJob cut(TinyJob job, const Tables& tables) {
  job.cut = kSlices;
  job.tied = tables.tied;
  job.saved = tables.saved;
  return job;
}

const std::vector<std::string> kBoth = {"embed_tokens", "lm_head"};

TEST(TableCut, GivesTheSameBitsHoweverTheWorkIsLaidOut) {
  const std::vector<Residence> apart = {{Tier::kPinned}, {Tier::kDisk}, {Tier::kDevice, Sharding::kReplicated}};
  const auto small = [](TinyJob job, const Tables& tables) {
    job.steps = 2;
    job.layers = 1;
    return run(cut(job, tables));
  };
  const Tables tied{true, {}}, untied{false, {}}, tied_trains{true, kBoth}, untied_trains{false, kBoth};
  EXPECT_EQ(small({.ranks = 4, .frozen = apart, .mode = StreamMode::kDelayed}, tied), small({}, tied));
  EXPECT_EQ(small({.ranks = 2, .wave = 2, .layer_inputs = Tier::kPinned}, untied), small({}, untied));
  const TinyResult one = small({}, tied_trains);
  EXPECT_EQ(small({.ranks = 2, .wave = 1, .recompute = {Recompute::kNo}, .prefetch = Prefetch::kNo}, tied_trains), one);
  EXPECT_EQ(small({.threads = 2, .frozen = {{Tier::kDisk}}, .decode = Decode::kMatrix}, tied_trains), one);
  EXPECT_EQ(small({.ranks = 2,
                   .wave = 1,
                   .optimizer = {Tier::kPinned},
                   .layer_inputs = Tier::kDisk,
                   .mode = StreamMode::kDelayed},
                  tied_trains),
            one);
  EXPECT_EQ(small({.ranks = 3, .wave = 1, .frozen = apart, .poison = Poison::kNo}, untied_trains),
            small({}, untied_trains));
}

TEST(TableCut, GivesTheSameBitsInF16) {
  const auto in_f16 = [](TinyJob job) {
    job.dtype = DType::kF16;
    job.loss_scale = LossScale::dynamic(0x1p20);  // the first steps overflow
    job.steps = 5;
    return cut(job, {true, kBoth});
  };
  const TinyResult one = run(in_f16({}));
  EXPECT_EQ(one.grad_norms.front(), -1);
  EXPECT_GT(*std::max_element(one.grad_norms.begin(), one.grad_norms.end()), 0);
  EXPECT_EQ(run(in_f16({.ranks = 3, .wave = 1})), one);
}

TEST(TableCut, AllocatesNothingOnceAStepIsMade) {
  EXPECT_EQ(run(cut({.ranks = 2, .steps = 4, .wave = 2, .dropout = 0.1, .neftune_alpha = 5}, {false, {}})).allocations,
            std::vector<std::uint64_t>(5));
}

// Of 131,072 rows: five slices of 22,016 and one of 20,992, of which more rows of logits are made at a time.
TEST(TableCut, HasScratchForEverySliceAndNotForTheFirstOnly) {
  ModelConfig config = tiny_config(false);
  config.vocab = 131072;
  const auto device = make_cpu_device();
  const Format bf16 = dense_format(DType::kBF16);
  const auto model = make_model(
      *device, {config, rest_as(bf16, bf16), nullptr, {.most_elements = 22016 * config.hidden, .grain = 256}},
      DType::kBF16);
  ASSERT_EQ(model->spec().slices(), 6U);
  for (const std::int64_t rows : {22016, 20992})
    EXPECT_GE(model->head_bytes(640), head_scratch_bytes(640, config.hidden, rows, DType::kBF16)) << rows;
}

std::vector<float> joined(const TinyResult& result, const std::vector<std::size_t>& units) {
  std::vector<float> all;
  for (const std::size_t u : units) all.insert(all.end(), result.gradients[u].begin(), result.gradients[u].end());
  return all;
}

// A logit is a sum of 32 products with |x| |w| <= 1.3 sqrt(32) * 0.3 sqrt(32), so two orders of summation differ by
// 32 * 2^-24 of that, and a loss by as much. dropout and NEFTune draw by a layer's place, which a cut leaves alone.
TEST(TableCut, DiffersFromTheWholeByRoundingAlone) {
  constexpr double kAllowed = 32 * 0x1p-24 * 1.3 * 0.3 * 32;
  for (const bool tied : {true, false}) {
    const TinyJob job = cut({.steps = 1, .dropout = 0.1, .neftune_alpha = 5}, {tied, kBoth});
    TinyJob uncut = job;
    uncut.cut = {};
    const TinyResult slices = run(job), whole = run(uncut);
    EXPECT_NEAR(slices.losses[0], whole.losses[0], kAllowed);
    // Probabilities are off by the factor that e^logits is, and all gradients are linear in them.
    EXPECT_LE(distance(joined(slices, {1, 2, 3}), joined(whole, {1, 2, 3})), 4 * kAllowed);
    EXPECT_LE(distance(joined(slices, tied ? std::vector<std::size_t>{0, 4, 5} : std::vector<std::size_t>{0, 7, 8}),
                       joined(whole, {0})),
              4 * kAllowed);
    if (tied) continue;
    EXPECT_LE(distance(joined(slices, {4, 5, 6}), joined(whole, {4})), 4 * kAllowed) << "the head";
  }
}

ModelConfig of_size(std::int64_t vocab, std::int64_t hidden) {
  ModelConfig config = tiny_config(false);
  config.vocab = vocab;
  config.hidden = hidden;
  return config;
}

const Format kBf16{.codec = Codec::kBF16};

TEST(TableCut, FollowsFromTheModelAlone) {
  EXPECT_EQ(ModelSpec(of_size(32000, 4096), rest_as(kBf16, kBf16), nullptr).units().back().name, "lm_head");
  const ModelSpec llama(of_size(128256, 8192), rest_as(kBf16, kBf16), nullptr);  // Llama-3-70B's tables
  ASSERT_EQ(llama.slices(), 8U);
  std::int64_t next = 0;
  for (std::size_t s = 0; s < 8; ++s) {
    const UnitSpec& head = llama.units()[llama.head_unit(s)];
    const ParamSpec& table = head.params[0];
    EXPECT_EQ(head.name, fmt::format("lm_head.{}", s));
    EXPECT_EQ(table.name, "lm_head.weight");
    EXPECT_EQ(table.first_row, next);
    EXPECT_EQ(table.stored_shape(), (Shape{128256, 8192}));
    EXPECT_EQ(table.shape, (Shape{s < 7 ? 16128 : 15360, 8192}));
    EXPECT_EQ(head.params.size(), s == 0 ? 2U : 1U) << "the final norm lies in the first slice";
    EXPECT_EQ(llama.units()[llama.embedding_unit(s)].name, fmt::format("model.embed_tokens.{}", s));
    next += table.shape[0];
  }
  EXPECT_EQ(next, 128256);
}

TEST(TableCut, RefusesBlocksThatItWouldCut) {
  const Format nested{.codec = Codec::kNF4, .block = 256, .double_quant = true};
  std::string told;
  try {
    ModelSpec(of_size(151936, 896), rest_as(nested, nested), nullptr);
  } catch (const Error& error) {
    told = error.what();
  }
  EXPECT_THAT(told, testing::HasSubstr("model.embed_tokens.weight cannot rest in nf4"));
}

}  // namespace
}  // namespace shardlora
