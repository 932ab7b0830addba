#include "data/sample_set.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>

#include "base/parallel.h"
#include "data/formats/dataset_rows.h"
#include "data/formats/roles.h"
#include "data/record_tokenizer.h"
#include "data/rows/bad_rows.h"
#include "data/rows/row.h"

namespace shardlora {
namespace {

// Cuts, drops or refuses a sample that is too long. False: it is to be left out.
bool fit(Sample& sample, const SampleOptions& options, DatasetSummary& summary) {
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

// What threads make of a batch's rows, for the one that goes through them in order.
template <typename T>
struct Made {
  std::optional<T> result;
  std::string reason;  // why the row is bad
};

// Calls make(row, record) for every row of the dataset, in several threads, and take(result) in the rows' order.
// Returns the number of rows, bad ones included.
template <typename T, typename Make, typename Take>
std::int64_t for_each_row(DatasetRows& dataset, int threads, BadRows& bad, const Make& make, const Take& take) {
  std::int64_t rows = 0;
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
      bad.count_read(1);
      if (made[i].result)
        take(std::move(*made[i].result));
      else
        bad.add(dataset.file(), batch[i].line, made[i].reason);
    }
    rows += static_cast<std::int64_t>(batch.size());
  }
  return rows;
}

// The samples of a row, and what is to be said of it.
struct RowSamples {
  std::vector<Sample> samples;
  RowNotes notes;
};

void count(DatasetSummary::Note& note, const std::optional<std::string>& said, const Sample& sample) {
  if (said && ++note.rows == 1) note.first = fmt::format("{}:{}: {}", sample.source, sample.line, *said);
}

SampleOptions options_of(const DatasetSource& source, const SampleOptions& options) {
  SampleOptions own = options;
  if (source.roles_to_train) {
    own.train_on.roles.clear();
    for (const std::string& name : *source.roles_to_train) {
      const auto role = template_role(name, source);  // as messages' roles are read
      if (!role)
        fail(
            "{}: roles_to_train: unknown role \"{}\"; if it is meant, name it in the dataset's roles: {{user: "
            "[\"{}\"]}}",
            source.path, name, name);
      own.train_on.roles.push_back(*role);
    }
  }
  if (source.train_on_eos) own.train_on.eos = *source.train_on_eos;
  return own;
}

}  // namespace

Dataset load_dataset(const DatasetSource& source, const RecordTokenizer& tokenizer, const SampleOptions& options,
                     BadRows& bad, int threads) {
  DatasetRows rows(source);
  Dataset dataset;
  DatasetSummary& summary = dataset.summary;
  summary.path = source.path;
  summary.format = rows.format();
  const SampleOptions own = options_of(source, options);
  const auto bad_before = bad.count();
  summary.rows = for_each_row<RowSamples>(
      rows, threads, bad,
      [&](const Row& row, const Record& record) {
        RowSamples made;
        made.samples = tokenizer.samples_of(row, record, own, &made.notes);
        return made;
      },
      [&](RowSamples&& made) {
        count(summary.asked_otherwise, made.notes.asked_otherwise, made.samples.front());
        count(summary.left_out, made.notes.left_out, made.samples.front());
        for (Sample& sample : made.samples) {
          if (!fit(sample, own, summary)) continue;
          summary.tokens += static_cast<std::int64_t>(sample.tokens.size());
          summary.trained += std::accumulate(sample.trained.begin(), sample.trained.end(), std::int64_t{0});
          dataset.samples.push_back(std::move(sample));
        }
      });
  summary.samples = static_cast<std::int64_t>(dataset.samples.size());
  summary.bad_rows.assign(bad.rows().begin() + bad_before, bad.rows().end());
  summary.bad = bad.count() - bad_before;
  return dataset;
}

DatasetSummary SampleSet::total() const {
  DatasetSummary all;
  for (const DatasetSummary& d : datasets) {
    all.rows += d.rows;
    all.bad += d.bad;
    all.cut += d.cut;
    all.dropped += d.dropped;
    all.too_long += d.too_long;
    all.longest = std::max(all.longest, d.longest);
    all.samples += d.samples;
    all.tokens += d.tokens;
    all.trained += d.trained;
  }
  return all;
}

SampleSet join(std::vector<Dataset> datasets, const SampleOptions& options) {
  SampleSet set;
  for (Dataset& dataset : datasets) {
    set.samples.insert(set.samples.end(), std::make_move_iterator(dataset.samples.begin()),
                       std::make_move_iterator(dataset.samples.end()));
    set.datasets.push_back(std::move(dataset.summary));
  }
  const DatasetSummary all = set.total();
  if (!options.excess && all.too_long * 100 > all.rows)
    fail(
        "{} of {} rows are longer than sequence_len ({} tokens; the longest has {}); raise sequence_len, or say what "
        "to do with them: excess_length_strategy: truncate, drop or error",
        all.too_long, all.rows, options.sequence_len, all.longest);
  if (set.samples.empty())
    fail("{}: not one row of {} can be trained on ({} bad, {} dropped as too long)",
         set.datasets.empty() ? "datasets" : set.datasets.front().path, all.rows, all.bad, all.dropped);
  return set;
}

std::vector<Prompt> load_prompts(const std::vector<DatasetSource>& sources, const RecordTokenizer& tokenizer) {
  std::vector<Prompt> prompts;
  BadRows bad;
  for (const DatasetSource& source : sources) {
    DatasetRows rows(source);
    for_each_row<Prompt>(
        rows, 1, bad, [&](const Row& row, const Record& record) { return tokenizer.prompt_of(row, record); },
        [&](Prompt&& prompt) { prompts.push_back(std::move(prompt)); });
  }
  if (prompts.empty()) fail("{}: no row to ask", sources.empty() ? "test_datasets" : sources.front().path);
  return prompts;
}

}  // namespace shardlora
