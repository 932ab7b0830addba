// Which tokens of a rendered conversation train. An assistant's turn begins where the generation prompt before it ends
// (generation_prompts.h); another role's with its content and the blanks (U+0020) that the template writes right before
// it. Where the template has {% generation %} blocks, a turn of the assistant is such a block. A token belongs to a
// turn if its first byte does. A turn ends with the template's first control token behind what is said, unless
// something of a row comes before that; where more of them follow without a gap, with the first that the model's files
// call an end.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/template/chat_template.h"
#include "data/tokenizer.h"
#include "data/train_on.h"

namespace shardlora {

struct Turn {
  std::int32_t message;      // -1: a {% generation %} block that shows nothing of a message
  std::uint32_t begin, end;  // bytes of the text
  std::uint32_t said_end;    // where the last byte of a row ends; what closes the turn is looked for behind it
  bool block = false;        // a {% generation %} block
  std::optional<std::size_t> end_token{};  // index of the token that ends it
  // Of a message that calls: where the template is done with it, if that can be told.
  std::optional<std::uint32_t> written_end{};
};

// Whether what each message says trains. Throws RowError where "train" or "weight" is something else than it may be.
std::vector<std::uint8_t> wanted_of(const nlohmann::ordered_json& messages, const TrainOn& what);

// The content of each turn, in the order of the text.
std::vector<Turn> turns_of(const ChatTemplate& chat, const Rendered& rendered, const nlohmann::ordered_json& messages);

// Finds what ends the turns. `from_template[byte]` is 1 where the template wrote the byte.
void find_ends(std::vector<Turn>& turns, const Rendered& rendered, const std::vector<std::uint8_t>& from_template,
               const std::vector<Token>& tokens, const Tokenizer& tokenizer);

// 1 for every token that trains; never the first, which nothing predicts.
std::vector<std::uint8_t> trained_tokens(const std::vector<Turn>& turns, const std::vector<Token>& tokens,
                                         const std::vector<std::uint8_t>& wanted, const TrainOn& what);

}  // namespace shardlora
