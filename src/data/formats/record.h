// What a row says, whatever format it came in, before it becomes tokens.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

namespace shardlora {

// Goes through the chat template: {"messages": [{"role", "content"}…], "tools"…}, checked.
struct Conversation {
  nlohmann::ordered_json json;
};

// A part of a text.
struct Piece {
  std::string text;
  bool trained = false;
  bool ends = false;  // EOS follows, trained as the piece is
};

// Goes to the tokenizer as it is: what the pieces say one after the other, encoded as one text.
struct PlainText {
  std::vector<Piece> pieces;
  bool bos = true;     // opens with BOS where the tokenizer does that
  bool split = false;  // may be cut into several samples of sequence_len
};

// Each piece is encoded for itself, control tokens in it are control tokens, and nothing is added.
struct Segments {
  std::vector<Piece> pieces;
};

// Tokens as they are.
struct TokenRow {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> trained;
};

using Record = std::variant<Conversation, PlainText, Segments, TokenRow>;

}  // namespace shardlora
