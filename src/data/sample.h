// A sample: one row as the model sees it, tokens and which of them are targets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shardlora {

// What to do with a row of more than sequence_len tokens.
enum class ExcessLength : std::uint8_t { kTruncate, kDrop, kError };

struct Sample {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> trained;  // trained[i]: token i is a target
  std::string source;                 // file of the row
  std::int64_t line = 0;              // and its line, from 1
};

}  // namespace shardlora
