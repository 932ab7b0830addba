#include "cli/answers.h"

#include <algorithm>

#include "shard/gradient_tree.h"

namespace shardlora {

Answers answer(Ranks& ranks, Session& session, const Tokenizer& tokenizer, const TokenIds& ends,
               const std::vector<TokenIds>& prompts, std::int64_t new_tokens,
               const std::function<void(std::size_t done)>& progress) {
  constexpr std::int64_t kTogether = 64;
  const std::vector<std::int64_t> cuts = deal_micro_batches(static_cast<std::int64_t>(prompts.size()), ranks.size());
  const auto rank = static_cast<std::size_t>(ranks.rank());
  std::int64_t most = 0, longest = 1;
  for (std::size_t r = 0; r + 1 < cuts.size(); ++r) most = std::max(most, cuts[r + 1] - cuts[r]);
  for (const TokenIds& prompt : prompts) longest = std::max(longest, static_cast<std::int64_t>(prompt.size()));

  const std::int64_t together = std::clamp(most, std::int64_t{1}, kTogether);
  Generator generator(*ranks.device, *session.model, *session.store, *ranks.gathers, ends,
                      {.prompts = together, .prompt_tokens = longest, .new_tokens = new_tokens}, Sampling{},
                      {.dtype = session.model->dtype()});
  Answers answers{static_cast<std::size_t>(cuts[rank]), static_cast<std::size_t>(cuts[rank + 1]), {}};
  for (std::int64_t begin = 0; begin < most; begin += together) {
    // As many groups on every rank: those that have no prompts left bring an empty one.
    const auto at = [&](std::int64_t offset) {
      return prompts.begin() + std::min(cuts[rank] + offset, cuts[rank + 1]);
    };
    for (const TokenIds& ids : generator.run({at(begin), at(begin + together)}))
      answers.texts.push_back(tokenizer.decode(ids));
    progress(std::min(prompts.size(), static_cast<std::size_t>((begin + together) * ranks.size())));
  }
  return answers;
}

}  // namespace shardlora
