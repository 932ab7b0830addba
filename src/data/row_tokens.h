// The tokens of a row's text: one that the tokenizer gives up on is its row's fault.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/rows/bad_rows.h"
#include "data/tokenizer.h"

namespace shardlora {

// As Tokenizer::encode, but throws RowError.
inline std::vector<Token> encode_row(const Tokenizer& tokenizer, std::string_view text,
                                     const std::vector<std::uint8_t>& may_be_control = {},
                                     const std::vector<std::uint32_t>& seams = {}) {
  try {
    return tokenizer.encode(text, may_be_control, seams);
  } catch (const Error& error) {
    throw RowError(error.what());
  }
}

}  // namespace shardlora
