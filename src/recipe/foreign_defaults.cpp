// What another trainer does where its recipe says nothing, and this one does otherwise: told in one line, since the
// same recipe then gives another result.
#include <fmt/ranges.h>

#include <algorithm>

#include "recipe/foreign_keys.h"
#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

using Lines = std::vector<std::string>;

// Some of LLaMA-Factory's words are names of keys here.
bool is_of_llama_factory(const RecipeDraft& draft, const GivenKeys& keys) {
  const auto written_as = [&](const char* key, std::string_view word) {
    const ConfigValue* value = keys.find(key);
    return value != nullptr && value->name == word;
  };
  return draft.said.saw(kFactory) || written_as("adapter", "finetuning_type") || written_as("lora_r", "lora_rank") ||
         written_as("sequence_len", "cutoff_len") || written_as("chat_template", "template");
}

bool has_warmup(const RecipeDraft& draft, const GivenKeys& keys) {
  return keys.find("warmup_steps") != nullptr || keys.find("warmup_ratio") != nullptr ||
         draft.lr_scheduler == Schedule::kConstant;
}

Lines of_llama_factory(const GivenKeys& keys) {
  Lines lines;
  const auto left_out = [&](const char* key, const char* values) {
    if (keys.find(key) == nullptr) lines.emplace_back(values);
  };
  left_out("learning_rate", "a learning rate of 5e-5 (here 2e-4)");
  left_out("lr_scheduler", "a linear fall of it (here cosine)");
  if (keys.find("max_steps") == nullptr) left_out("num_epochs", "3 epochs (here 1)");
  left_out("micro_batch_size", "8 rows a micro-batch (here 1)");
  if (keys.find("packing") != nullptr && keys.find("neat_packing") == nullptr)
    lines.emplace_back("packed samples that see each other (here they never do)");
  return lines;
}

Lines of_axolotl(const RecipeDraft& draft, const GivenKeys& keys) {
  Lines lines;
  if (keys.find("sequence_len") == nullptr) lines.emplace_back("rows of up to 512 tokens (here 2048)");
  if (keys.find("excess_length_strategy") == nullptr)
    lines.emplace_back("longer rows left out (here cut, while at most 1 % of the rows are longer)");
  if (!has_warmup(draft, keys))
    lines.emplace_back("a warm-up of 3 % of the steps, 100 at most (here none; warmup_ratio: 0.03 is near)");
  if (std::any_of(draft.datasets.begin(), draft.datasets.end(), [](const auto& d) { return d.type == "alpaca"; }))
    lines.emplace_back("a line end behind \"### Response:\" in type: alpaca (here none, as Stanford's prompt)");
  return lines;
}

}  // namespace

void say_other_defaults(RecipeDraft& draft, const GivenKeys& keys) {
  const bool factory = is_of_llama_factory(draft, keys);
  if (!factory && !draft.said.saw(kAxolotl)) return;
  const Lines lines = factory ? of_llama_factory(keys) : of_axolotl(draft, keys);
  if (!lines.empty())
    draft.said.say(
        fmt::format("left out here, {} has: {}", factory ? "LLaMA-Factory" : "axolotl", fmt::join(lines, "; ")));
}

}  // namespace shardlora
