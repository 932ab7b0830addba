// What is wrong with a chat template for training, found by trying it.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/sample_maker.h"

#include "data/rows/bad_rows.h"
#include "data/rows/row.h"
#include "data/template/template_input.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

Row asked(const Json& answer) { return {"", 0, {{"messages", {{{"role", "user"}, {"content", "Hello"}}, answer}}}}; }
Row words() { return asked({{"role", "assistant"}, {"content", "Yes"}}); }
Row call() {
  const Json function = {{"name", "look"}, {"arguments", {{"at", "it"}}}};
  // Templates of Mistral's want ids of nine characters.
  const Json made = {{"id", "abcdefghi"}, {"type", "function"}, {"function", function}};
  return asked({{"role", "assistant"}, {"content", ""}, {"tool_calls", Json::array({made})}});
}

// Some tokens from `at` on, on one line.
std::string shown(const Tokenizer& tokenizer, std::span<const std::int32_t> tokens, std::size_t at) {
  constexpr std::size_t kTokens = 8;
  if (at >= tokens.size()) return "nothing";
  return Json(tokenizer.decode(tokens.subspan(at, std::min(kTokens, tokens.size() - at)))).dump();
}

}  // namespace

std::vector<std::int32_t> SampleMaker::ends_of(const Row& row) const {
  RowNotes unheard;
  const TemplateInput input = input_of(row.json);
  const Encoded encoded = encode(input, wanted_of(input.messages, {}), unheard);
  std::vector<std::int32_t> ends;
  for (const Turn& turn : encoded.turns) {
    if (turn.end_token && turn.message == 1) ends.push_back(encoded.tokens[*turn.end_token].id);
  }
  return ends;
}

std::optional<std::int32_t> SampleMaker::end_of_turn() const {
  const std::vector<std::int32_t> ends = ends_of(words());
  return ends.empty() ? std::nullopt : std::optional(ends.front());
}

std::vector<std::int32_t> SampleMaker::ends() const {
  std::vector<std::int32_t> ends = tokenizer_.ends();
  for (const Row& row : {words(), call()}) {
    try {
      for (const std::int32_t end : ends_of(row))
        if (std::find(ends.begin(), ends.end(), end) == ends.end()) ends.push_back(end);
    } catch (const RowError&) {
      // A template that refuses the probe: its rows will tell.
    }
  }
  return ends;
}

std::vector<std::string> SampleMaker::template_warnings(const TrainOn& train_on) const {
  std::vector<std::string> warnings;
  const Row row = words();
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
  } catch (const RowError&) {
    // A template that refuses the probe speaks for itself at the rows.
  }
  return warnings;
}

}  // namespace shardlora
