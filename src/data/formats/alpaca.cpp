// Instructions as Stanford's Alpaca has them, word for word (github.com/tatsu-lab/stanford_alpaca, train.py), with an
// EOS that trains. `system` takes the place of the opening sentence; `history` is [[instruction, output], …] before
// the last turn, and its answers train too.
#include "data/formats/record_format.h"

#include <nlohmann/json.hpp>

#include "data/rows/bad_rows.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kWithInput =
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.";
constexpr std::string_view kWithoutInput =
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.";

std::string asked(const std::string& instruction, const std::string& input) {
  return "### Instruction:\n" + instruction + (input.empty() ? "" : "\n\n### Input:\n" + input) + "\n\n### Response:";
}

}  // namespace

Record read_alpaca(const Json& row, const DatasetSource&) {
  const std::string& instruction = text_under(row, "instruction");
  const std::string& output = text_under(row, "output");
  const std::string input = text_or_empty(row, "input"), system = text_or_empty(row, "system");
  std::string prompt = (!system.empty() ? system : std::string(input.empty() ? kWithoutInput : kWithInput)) + "\n\n";

  PlainText text;
  if (const auto history = row.find("history"); history != row.end() && !history->is_null()) {
    if (!history->is_array()) bad_row("\"history\" must be a list of [instruction, output]");
    for (const Json& turn : *history) {
      if (!turn.is_array() || turn.size() != 2 || !turn[0].is_string() || !turn[1].is_string())
        bad_row("\"history\" must be a list of [instruction, output]");
      text.pieces.push_back({prompt + asked(turn[0], "")});
      text.pieces.push_back({turn[1], true, true});
      prompt = "\n\n";
    }
  }
  text.pieces.push_back({prompt + asked(instruction, input)});
  text.pieces.push_back({output, true, true});
  return text;
}

}  // namespace shardlora
