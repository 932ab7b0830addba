// What of a row trains, and what becomes of a row that is too long: what a recipe says about samples.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace shardlora {

// Which end-of-turn tokens train (axolotl's train_on_eos).
enum class TrainOnEos : std::uint8_t {
  kTurn,  // those of the turns that train
  kAll,   // those of every turn, the user's too
  kLast,  // the conversation's last one
  kNone,
};

// What of a row trains. A message's own "train" (true or false) or "weight" (0: not) goes before its role.
struct TrainOn {
  bool inputs = false;  // every token
  std::vector<std::string> roles{"assistant"};
  TrainOnEos eos = TrainOnEos::kTurn;
};

// What to do with a row of more than sequence_len tokens.
enum class ExcessLength : std::uint8_t { kTruncate, kDrop, kError };

struct SampleOptions {
  std::int64_t sequence_len = 2048;
  TrainOn train_on = {};
  std::optional<ExcessLength> excess;  // not given: cut, as long as at most 1 % of the rows need it
};

}  // namespace shardlora
