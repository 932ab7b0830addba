// The adapter that a training leaves, as other programs get it.
#include <gtest/gtest.h>

#include <cstdlib>

#include "checkpoint/write_adapter.h"
#include "golden_job.h"
#include "io/temporary_directory.h"
#include "io/write_safetensors.h"

namespace shardlora {
namespace {

// scripts/check_adapter_in_peft names a directory and lets PEFT give the logits.
TEST(TrainedAdapter, GivesTheSameLogitsOnceWrittenAndReadAgain) {
  const TemporaryDirectory temporary;
  const char* const wanted = std::getenv("SHARDLORA_KEEP_ADAPTERS");
  const std::filesystem::path root = wanted != nullptr ? wanted : temporary.path();
  // A model and what its adapter starts from; "saved": with embedding and head, trained as a whole.
  const std::pair<const char*, const char*> variants[] = {
      {"tied", "tied"}, {"untied", "untied"}, {"wide", "wide"}, {"tied", "saved-tied"}, {"untied", "saved-untied"}};
  for (const auto& [model, variant] : variants) {
    const auto start = golden_path(fmt::format("adapter-{}", variant));
    const GoldenResult training = run(GoldenJob{.variant = model, .adapter = start})[0];
    write_adapter(root / variant, training.adapter);
    const GoldenResult read = run(GoldenJob{.variant = model, .adapter = root / variant, .steps = 0})[0];
    EXPECT_EQ(read.forward.logits, training.trained.logits) << variant;
    EXPECT_NE(read.forward.logits, training.forward.logits) << variant << ": the training changed nothing";
    const auto count = std::ssize(read.forward.logits), vocab = std::int64_t{96};
    const ConstTensor logits{
        reinterpret_cast<const std::byte*>(read.forward.logits.data()), DType::kF32, {count / vocab, vocab}};
    write_safetensors(root / variant / "logits.safetensors", std::vector<NamedTensor>{{"logits", logits}});
  }
}

}  // namespace
}  // namespace shardlora
