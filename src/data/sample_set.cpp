// Whole files of rows as samples, and what became of the rows.
#include <algorithm>
#include <numeric>

#include "data/sample.h"

namespace shardlora {
namespace {

// Cuts, drops or refuses a sample that is too long. False: it is to be left out.
bool fit(Sample& sample, const SampleOptions& options, SampleSummary& summary) {
  const auto length = static_cast<std::int64_t>(sample.tokens.size());
  if (length <= options.sequence_len) return true;
  if (options.excess == ExcessLength::kError)
    fail(
        "{}:{}: {} tokens are more than sequence_len ({}); shorten the row, raise sequence_len, or set "
        "excess_length_strategy to "
        "truncate or drop",
        sample.source, sample.line, length, options.sequence_len);
  ++summary.too_long;
  summary.longest = std::max(summary.longest, length);
  sample.tokens.resize(static_cast<std::size_t>(options.sequence_len));
  sample.trained.resize(sample.tokens.size());
  const bool trains = std::find(sample.trained.begin(), sample.trained.end(), 1) != sample.trained.end();
  const bool kept = options.excess != ExcessLength::kDrop && trains;
  ++(kept ? summary.cut : summary.dropped);
  return kept;
}

std::string number(std::int64_t value) {
  std::string text = std::to_string(value);
  for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, ",");
  return text;
}

}  // namespace

SampleSet SampleMaker::load_samples(const std::vector<std::string>& paths, const SampleOptions& options) const {
  SampleSet set;
  SampleSummary& summary = set.summary;
  BadRows bad;
  for (const std::string& path : paths) {
    summary.rows += for_each_row(path, bad, [&](Row&& row) {
      Sample sample = sample_of(row, options.train_on);
      if (!fit(sample, options, summary)) return;
      summary.lengths.push_back(static_cast<std::int64_t>(sample.tokens.size()));
      summary.trained += std::accumulate(sample.trained.begin(), sample.trained.end(), std::int64_t{0});
      set.samples.push_back(std::move(sample));
    });
  }
  summary.bad = bad.count();
  std::sort(summary.lengths.begin(), summary.lengths.end());
  summary.tokens = std::accumulate(summary.lengths.begin(), summary.lengths.end(), std::int64_t{0});
  if (!options.excess && summary.too_long * 100 > summary.rows)
    fail(
        "{} of {} rows are longer than sequence_len ({} tokens; the longest has {}); raise sequence_len, or say what "
        "to do with "
        "them: excess_length_strategy: truncate, drop or error",
        summary.too_long, summary.rows, options.sequence_len, summary.longest);
  if (set.samples.empty())
    fail("{}: not one row of {} can be trained on ({} bad, {} dropped as too long)",
         paths.empty() ? "datasets" : paths.front(), summary.rows, summary.bad, summary.dropped);
  return set;
}

std::vector<Prompt> SampleMaker::load_prompts(const std::vector<std::string>& paths) const {
  std::vector<Prompt> prompts;
  BadRows bad;
  for (const std::string& path : paths) for_each_row(path, bad, [&](Row&& row) { prompts.push_back(prompt_of(row)); });
  if (prompts.empty()) fail("{}: no row to ask", paths.empty() ? "test_datasets" : paths.front());
  return prompts;
}

std::string SampleSummary::text() const {
  std::string out = fmt::format("{} rows: {} kept", number(rows), number(static_cast<std::int64_t>(lengths.size())));
  if (cut > 0) out += fmt::format(", of them {} cut to sequence_len (longest {} tokens)", number(cut), number(longest));
  if (dropped > 0) out += fmt::format(", {} dropped as too long (longest {} tokens)", number(dropped), number(longest));
  if (bad > 0) out += fmt::format(", {} bad", number(bad));
  if (lengths.empty()) return out + "\n";
  out += fmt::format("\ntokens of a sample: {} to {}, median {}", number(lengths.front()), number(lengths.back()),
                     number(lengths[lengths.size() / 2]));
  out += fmt::format("\n{} tokens, {} of them trained ({:.1f} %)\n", number(tokens), number(trained),
                     100.0 * static_cast<double>(trained) / static_cast<double>(tokens));
  return out;
}

}  // namespace shardlora
