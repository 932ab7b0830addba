// Whole datasets as samples, and what became of their rows.
#pragma once

#include <string>
#include <vector>

#include "data/formats/dataset_source.h"
#include "data/rows/bad_rows.h"
#include "data/sample_maker.h"

namespace shardlora {

class RecordTokenizer;

// What became of the rows of one dataset.
struct DatasetSummary {
  std::string path, format;
  std::int64_t rows = 0, bad = 0, cut = 0, dropped = 0;
  std::int64_t too_long = 0, longest = 0;  // rows over sequence_len, and tokens of the longest of them
  std::int64_t samples = 0, tokens = 0, trained = 0;
  std::vector<BadRows::Reason> bad_rows{};
  // What RowNotes says, of how many rows, and of the first: "file:line: message 2: …".
  struct Note {
    std::int64_t rows = 0;
    std::string first{};
  };
  Note asked_otherwise{}, left_out{};
};

struct Dataset {
  std::vector<Sample> samples;
  DatasetSummary summary;
};

// All rows of a dataset in their order, whatever the number of threads. Bad rows are logged with file, line and reason;
// many are an Error (BadRows), and so is a file without rows.
Dataset load_dataset(const DatasetSource& source, const RecordTokenizer& tokenizer, const SampleOptions& options,
                     BadRows& bad, int threads);

struct SampleSet {
  std::vector<Sample> samples;
  std::vector<DatasetSummary> datasets;
  DatasetSummary total() const;
  // Samples that occur before, tokens and what trains of them, and whether they are still in `samples`.
  std::int64_t repeats = 0;
  bool repeats_removed = false;
};

// Several datasets one after the other. More than 1 % of rows that are too long without a word about what to do with
// them are an Error, and so is a set without a single sample.
SampleSet join(std::vector<Dataset> datasets, const SampleOptions& options);

std::vector<Prompt> load_prompts(const std::vector<DatasetSource>& sources, const RecordTokenizer& tokenizer);

}  // namespace shardlora
