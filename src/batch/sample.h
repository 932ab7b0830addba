// A sample: tokens, and which of them are targets. Everything that trains is made of these.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shardlora {

struct Sample {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> trained;  // trained[i]: token i is a target
  std::string source;                 // file of the row
  std::int64_t line = 0;              // and its line, from 1
  std::int32_t id = 0;                // its place among the samples that train: what its random numbers are keyed on
  bool ends = false;                  // a token that ends an answer trains
};

// Samples that travel together, without owning them: those of a row, which may be several that were packed, or of a
// micro-batch.
using SampleRefs = std::vector<const Sample*>;

std::int64_t target_tokens(const SampleRefs& samples);
std::int64_t total_tokens(const SampleRefs& samples);
// Of the longest; 0 where there is none.
std::int64_t longest(const std::vector<Sample>& samples);

}  // namespace shardlora
