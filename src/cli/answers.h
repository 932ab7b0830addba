// Greedy answers of a model to many prompts, in groups that share the weights' visits, over all ranks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "generate/generator.h"
#include "run/loaded_model.h"

namespace shardlora {

// This rank's run of the answers.
struct Answers {
  std::size_t begin = 0, end = 0;  // this rank's prompts
  std::vector<std::string> texts;  // of those
};

// What `answer` takes of memory, given back; OutOfMemory where there is none.
void rehearse_answers(Ranks& ranks, const LoadedModel& loaded, const TokenIds& ends,
                      const std::vector<TokenIds>& prompts, std::int64_t new_tokens);

// `done`: called on the way with the number of prompts that all ranks have behind them.
// `ends`: the ids that end an answer.
Answers answer(Ranks& ranks, LoadedModel& loaded, const Tokenizer& tokenizer, const TokenIds& ends,
               const std::vector<TokenIds>& prompts, std::int64_t new_tokens,
               const std::function<void(std::size_t done)>& progress);

}  // namespace shardlora
