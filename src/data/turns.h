// Which tokens of a rendered conversation train. A turn is what one message says: its content with the template's text
// between its parts, and the blanks (U+0020) that the template writes right before it, since after the generation
// prompt the model has to write them ("[/INST] answer"). Where the template has {% generation %} blocks, a turn of the
// assistant is such a block. A token belongs to a turn if its first byte does. A turn ends with the template's first
// control token behind what is said, unless something of a row comes before that.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/template/chat_template.h"
#include "data/tokenizer.h"

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

struct Turn {
  std::int32_t message;                  // -1: a {% generation %} block that shows nothing of a message
  std::uint32_t begin, end;              // bytes of the text
  bool block = false;                    // a {% generation %} block
  std::optional<std::size_t> end_token;  // index of the token that ends it
};

// In the order of the text. `from_template[byte]` is 1 where the template wrote the byte.
std::vector<Turn> turns_of(const ChatTemplate& chat, const Rendered& rendered,
                           const std::vector<std::uint8_t>& from_template, const std::vector<Token>& tokens,
                           const Tokenizer& tokenizer, const nlohmann::ordered_json& messages);

// Whether what this message says trains. Throws RowError where "train" or "weight" is something else than it may be.
bool trains(const nlohmann::ordered_json& message, std::size_t index, const TrainOn& what);

// 1 for every token that trains; never the first, which nothing predicts.
std::vector<std::uint8_t> trained_tokens(const std::vector<Turn>& turns, const std::vector<Token>& tokens,
                                         const nlohmann::ordered_json& messages, const TrainOn& what);

}  // namespace shardlora
