// Whole datasets as samples, and what became of their rows.
#pragma once

#include <string>
#include <vector>

#include "data/formats/dataset_source.h"
#include "data/record_tokenizer.h"

namespace shardlora {

// What became of the rows.
struct SampleSummary {
  std::int64_t rows = 0, bad = 0, cut = 0, dropped = 0;
  std::int64_t too_long = 0, longest = 0;  // rows over sequence_len, and tokens of the longest of them
  std::vector<std::int64_t> lengths;       // tokens of every sample, ascending
  std::int64_t tokens = 0, trained = 0;
  std::string text() const;  // for people: a few lines
};

struct SampleSet {
  std::vector<Sample> samples;
  SampleSummary summary;
};

// All rows of the datasets in their order, whatever the number of threads. Bad rows are logged with file, line and
// reason; the 10th is an Error, and so are a file without rows and a set without a single sample.
SampleSet load_samples(const std::vector<DatasetSource>& sources, const RecordTokenizer& tokenizer,
                       const SampleOptions& options, int threads);
std::vector<Prompt> load_prompts(const std::vector<DatasetSource>& sources, const RecordTokenizer& tokenizer);

}  // namespace shardlora
