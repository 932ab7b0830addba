#include "data/sample_set.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/parallel.h"
#include "data/formats/dataset_rows.h"

namespace shardlora {
namespace {

// Cuts, drops or refuses a sample that is too long. False: it is to be left out.
bool fit(Sample& sample, const SampleOptions& options, SampleSummary& summary) {
  const auto length = static_cast<std::int64_t>(sample.tokens.size());
  if (length <= options.sequence_len) return true;
  if (options.excess == ExcessLength::kError)
    fail(
        "{}:{}: {} tokens are more than sequence_len ({}); shorten the row, raise sequence_len, or set "
        "excess_length_strategy to truncate or drop",
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

// What threads make of a batch's rows, for the one that goes through them in order.
template <typename T>
struct Made {
  std::optional<T> result;
  std::string reason;  // why the row is bad
};

// Calls make(row, record) for every row of the datasets, in several threads, and take(result) in the rows' order.
// Returns the number of rows, bad ones included.
template <typename T, typename Make, typename Take>
std::int64_t for_each_row(const std::vector<DatasetSource>& sources, int threads, BadRows& bad, const Make& make,
                          const Take& take) {
  std::int64_t rows = 0;
  for (const DatasetSource& source : sources) {
    DatasetRows dataset(source);
    for (std::vector<RawRow> batch = dataset.next_batch(); !batch.empty(); batch = dataset.next_batch()) {
      std::vector<Made<T>> made(batch.size());
      parallel_for(batch.size(), threads, [&](std::size_t i) {
        try {
          const Row row = dataset.row(batch[i]);
          made[i].result.emplace(make(row, dataset.record(row)));
        } catch (const RowError& error) {
          made[i].reason = error.what();
        }
      });
      for (std::size_t i = 0; i < batch.size(); ++i) {
        if (made[i].result)
          take(std::move(*made[i].result));
        else
          bad.add(dataset.file(), batch[i].line, made[i].reason);
      }
      rows += static_cast<std::int64_t>(batch.size());
    }
  }
  return rows;
}

}  // namespace

SampleSet load_samples(const std::vector<DatasetSource>& sources, const RecordTokenizer& tokenizer,
                       const SampleOptions& options, int threads) {
  SampleSet set;
  SampleSummary& summary = set.summary;
  BadRows bad;
  summary.rows = for_each_row<std::vector<Sample>>(
      sources, threads, bad,
      [&](const Row& row, const Record& record) { return tokenizer.samples_of(row, record, options); },
      [&](std::vector<Sample>&& samples) {
        for (Sample& sample : samples) {
          if (!fit(sample, options, summary)) continue;
          summary.lengths.push_back(static_cast<std::int64_t>(sample.tokens.size()));
          summary.trained += std::accumulate(sample.trained.begin(), sample.trained.end(), std::int64_t{0});
          set.samples.push_back(std::move(sample));
        }
      });
  summary.bad = bad.count();
  std::sort(summary.lengths.begin(), summary.lengths.end());
  summary.tokens = std::accumulate(summary.lengths.begin(), summary.lengths.end(), std::int64_t{0});
  if (!options.excess && summary.too_long * 100 > summary.rows)
    fail(
        "{} of {} rows are longer than sequence_len ({} tokens; the longest has {}); raise sequence_len, or say what "
        "to do with them: excess_length_strategy: truncate, drop or error",
        summary.too_long, summary.rows, options.sequence_len, summary.longest);
  if (set.samples.empty())
    fail("{}: not one row of {} can be trained on ({} bad, {} dropped as too long)",
         sources.empty() ? "datasets" : sources.front().path, summary.rows, summary.bad, summary.dropped);
  return set;
}

std::vector<Prompt> load_prompts(const std::vector<DatasetSource>& sources, const RecordTokenizer& tokenizer) {
  std::vector<Prompt> prompts;
  BadRows bad;
  for_each_row<Prompt>(
      sources, 1, bad, [&](const Row& row, const Record& record) { return tokenizer.prompt_of(row, record); },
      [&](Prompt&& prompt) { prompts.push_back(std::move(prompt)); });
  if (prompts.empty()) fail("{}: no row to ask", sources.empty() ? "test_datasets" : sources.front().path);
  return prompts;
}

std::string SampleSummary::text() const {
  const auto samples = static_cast<std::int64_t>(lengths.size());
  std::string out = fmt::format("{} rows: {} kept", number(rows), number(rows - bad - dropped));
  if (cut > 0) out += fmt::format(", of them {} cut to sequence_len (longest {} tokens)", number(cut), number(longest));
  if (dropped > 0) out += fmt::format(", {} dropped as too long (longest {} tokens)", number(dropped), number(longest));
  if (bad > 0) out += fmt::format(", {} bad", number(bad));
  if (samples != rows - bad - dropped) out += fmt::format("; {} samples", number(samples));
  if (lengths.empty()) return out + "\n";
  out += fmt::format("\ntokens of a sample: {} to {}, median {}", number(lengths.front()), number(lengths.back()),
                     number(lengths[lengths.size() / 2]));
  out += fmt::format("\n{} tokens, {} of them trained ({:.1f} %)\n", number(tokens), number(trained),
                     100.0 * static_cast<double>(trained) / static_cast<double>(tokens));
  return out;
}

}  // namespace shardlora
