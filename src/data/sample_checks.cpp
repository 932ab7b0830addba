// What is wrong with a chat template for training, found by trying it.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/sample.h"

#include "data/rows/bad_rows.h"
#include "data/rows/row.h"
#include "data/template/template_input.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

Row probe() {
  return {
      "", 0, {{"messages", {{{"role", "user"}, {"content", "Hello"}}, {{"role", "assistant"}, {"content", "Yes"}}}}}};
}

// Some tokens from `at` on, on one line.
std::string shown(const Tokenizer& tokenizer, std::span<const std::int32_t> tokens, std::size_t at) {
  constexpr std::size_t kTokens = 8;
  if (at >= tokens.size()) return "nothing";
  return Json(tokenizer.decode(tokens.subspan(at, std::min(kTokens, tokens.size() - at)))).dump();
}

}  // namespace

std::optional<std::string> SampleMaker::prompt_mismatch(const Row& row) const {
  const Prompt prompt = prompt_of(row);
  const Sample sample = sample_of(row);
  const auto [asked, learnt] =
      std::mismatch(prompt.tokens.begin(), prompt.tokens.end(), sample.tokens.begin(), sample.tokens.end());
  const auto at = static_cast<std::size_t>(asked - prompt.tokens.begin());
  const std::string trained = shown(tokenizer_, sample.tokens, at);
  if (asked != prompt.tokens.end())
    return fmt::format("token {}: the prompt goes on with {}, the row with {}", at,
                       shown(tokenizer_, prompt.tokens, at), trained);
  if (learnt != sample.tokens.end() && sample.trained[at] != 0) return {};
  return fmt::format("token {}: behind the prompt the row goes on with {}, which does not train", at, trained);
}

std::optional<std::int32_t> SampleMaker::end_of_turn() const {
  const Row row = probe();
  const Json& messages = row.json.at("messages");
  const Encoded encoded = encode(input_of(row.json));
  const std::vector<Turn> turns =
      turns_of(chat_, encoded.rendered, encoded.from_template, encoded.tokens, tokenizer_, messages);
  for (const Turn& turn : turns) {
    if (turn.end_token && turn.message == 1) return encoded.tokens[*turn.end_token].id;
  }
  return {};
}

std::vector<std::int32_t> SampleMaker::ends() const {
  std::vector<std::int32_t> ends = tokenizer_.ends();
  try {
    const std::optional<std::int32_t> end = end_of_turn();
    if (end && std::find(ends.begin(), ends.end(), *end) == ends.end()) ends.push_back(*end);
  } catch (const RowError&) {
    // A template that refuses the probe: its rows will tell.
  }
  return ends;
}

std::vector<std::string> SampleMaker::template_warnings(const TrainOn& train_on) const {
  std::vector<std::string> warnings;
  const Row row = probe();
  try {
    const Sample sample = sample_of(row, train_on);
    const std::optional<std::int32_t> end = end_of_turn();
    if (!end) {
      std::size_t behind = sample.trained.size();
      while (behind > 0 && sample.trained[behind - 1] == 0) --behind;
      warnings.push_back(
          fmt::format("the chat template writes no end-of-turn token after the answer ({} follows it): the model will "
                      "not learn to stop",
                      shown(tokenizer_, sample.tokens, behind)));
    } else {
      const std::vector<std::int32_t>& ends = tokenizer_.ends();
      if (std::find(ends.begin(), ends.end(), *end) == ends.end())
        warnings.push_back(fmt::format(
            "the chat template ends an answer with {}, but the model's files say that {} does: name it as the "
            "end (eos_token_id) wherever the trained model is used",
            Json(tokenizer_.bytes_of(*end)).dump(), Json(tokenizer_.bytes_of(tokenizer_.eos())).dump()));
    }
    if (end && train_on.eos != TrainOnEos::kNone) {
      const auto found = std::find(sample.tokens.rbegin(), sample.tokens.rend(), *end);
      if (sample.trained[static_cast<std::size_t>(sample.tokens.rend() - found) - 1] == 0)
        warnings.push_back(fmt::format(
            "the chat template's {{% generation %}} block leaves out {}, the end of the turn: the model will "
            "not learn to stop",
            Json(tokenizer_.bytes_of(*end)).dump()));
    }
    if (const auto mismatch = prompt_mismatch(row))
      warnings.push_back(
          fmt::format("with this chat template a question is asked in another way than it is trained ({}); look at "
                      "preview --ids",
                      *mismatch));
  } catch (const RowError&) {
    // A template that refuses the probe speaks for itself at the rows.
  }
  return warnings;
}

}  // namespace shardlora
