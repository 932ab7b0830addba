#include "cli/answers.h"

#include <algorithm>

#include "shard/gradient_tree.h"

namespace shardlora {

namespace {

// Who is computed together decides the last bits, so groups follow from the prompts alone: enough for eight ranks.
std::int64_t together_of(std::int64_t prompts) {
  constexpr std::int64_t kMostTogether = 64, kGroups = 8;
  return std::clamp((prompts + kGroups - 1) / kGroups, std::int64_t{1}, kMostTogether);
}

Generator generator_for(Ranks& ranks, const LoadedModel& loaded, const TokenIds& ends,
                        const std::vector<TokenIds>& prompts, std::int64_t new_tokens) {
  std::int64_t longest = 1;
  for (const TokenIds& prompt : prompts) longest = std::max(longest, static_cast<std::int64_t>(prompt.size()));
  return {
      *ranks.device, *loaded.model,
      *loaded.store, *ranks.gathers,
      ends,          {.prompts = together_of(std::ssize(prompts)), .prompt_tokens = longest, .new_tokens = new_tokens},
      Sampling{},    loaded.streamer()};
}

}  // namespace

void rehearse_answers(Ranks& ranks, const LoadedModel& loaded, const TokenIds& ends,
                      const std::vector<TokenIds>& prompts, std::int64_t new_tokens) {
  generator_for(ranks, loaded, ends, prompts, new_tokens);
}

Answers answer(Ranks& ranks, LoadedModel& loaded, const Tokenizer& tokenizer, const TokenIds& ends,
               const std::vector<TokenIds>& prompts, std::int64_t new_tokens,
               const std::function<void(std::size_t done)>& progress) {
  const std::int64_t count = std::ssize(prompts), together = together_of(count);
  const std::vector<std::int64_t> cuts = deal_micro_batches((count + together - 1) / together, ranks.size());
  const auto rank = static_cast<std::size_t>(ranks.rank());
  const auto first_of = [&](std::int64_t group) { return std::min(group * together, count); };
  std::int64_t most = 0;
  for (std::size_t r = 0; r + 1 < cuts.size(); ++r) most = std::max(most, cuts[r + 1] - cuts[r]);

  Generator generator = generator_for(ranks, loaded, ends, prompts, new_tokens);
  Answers answers{
      static_cast<std::size_t>(first_of(cuts[rank])), static_cast<std::size_t>(first_of(cuts[rank + 1])), {}};
  for (std::int64_t g = 0; g < most; ++g) {
    // As many groups on every rank: those that have none left bring an empty one.
    const auto of_rank = [&](std::size_t r, std::int64_t groups) {
      return first_of(std::min(cuts[r] + groups, cuts[r + 1]));
    };
    for (const TokenIds& ids :
         generator.run({prompts.begin() + of_rank(rank, g), prompts.begin() + of_rank(rank, g + 1)}))
      answers.texts.push_back(tokenizer.decode(ids));
    std::int64_t done = 0;
    for (std::size_t r = 0; r + 1 < cuts.size(); ++r) done += of_rank(r, g + 1) - first_of(cuts[r]);
    progress(static_cast<std::size_t>(done));
  }
  return answers;
}

}  // namespace shardlora
