// Answers one prompt at a time and hands out the text while it is being generated. Rank 0 has the prompts; the others
// lend their shares of the model.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "data/tokenizer.h"
#include "generate/generator.h"
#include "run/loaded_model.h"

namespace shardlora {

class Responder {
 public:
  // All must outlive it. `limits.prompts` is 1.
  // `ends`: the ids that end an answer.
  Responder(Ranks& ranks, const LoadedModel& loaded, const Tokenizer& tokenizer, TokenIds ends,
            const GenerateLimits& limits, const Sampling& sampling);

  // The whole answer to rank 0's prompt; on_text hears its pieces on the way. Collective: the other ranks bring an
  // empty prompt and get an empty answer. Where the base does not rest on the device, the first answer is told with
  // what a token has to bring there and how long it takes.
  std::string respond(const TokenIds& prompt, const std::function<void(std::string_view)>& on_text);

 private:
  const Tokenizer& tokenizer_;
  const std::string offloaded_;  // what a token brings to the device; empty: nothing
  Generator generator_;
  std::uint64_t answered_ = 0;
};

}  // namespace shardlora
