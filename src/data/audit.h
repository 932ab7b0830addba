// What is odd about the samples of a run, looked at before training: what share trains, how long they are, which occur
// twice, which of the held-out ones are trained on, which teach no end of an answer. Facts first; text for people.
#pragma once

#include <string>
#include <vector>

#include "data/sample_set.h"

namespace shardlora {

// For every sample whether an equal one, tokens and what trains of them, comes before it.
std::vector<std::uint8_t> repeats_of(const std::vector<Sample>& samples);

struct Audit {
  std::vector<DatasetSummary> datasets, held_out_datasets;
  DatasetSummary total;
  std::int64_t samples = 0, tokens = 0, trained = 0;  // of what is left to train on
  std::int64_t shortest = 0, median = 0, longest = 0;
  struct Bin {
    std::int64_t longest, samples;
  };
  std::vector<Bin> lengths;  // at most ten bins, each the same factor wider than the one before
  std::int64_t held_out = 0;
  std::int64_t repeats = 0;  // samples that occur before
  bool repeats_removed = false;
  std::int64_t leaks = 0;          // samples that hold all tokens of a held-out one
  std::string leak;                // the place of the first of them, and of what it holds
  std::int64_t double_bos = 0;     // samples that open with BOS twice
  std::int64_t endless = 0;        // samples of which no end token trains, apart from those cut and from plain texts
  std::int64_t spelt_control = 0;  // samples whose text spells a control token that is not one
  std::string spelt;               // the first of these tokens

  // At most 80 columns.
  std::string text() const;
};

// `tokenizer` as the samples were made with.
Audit audit(const SampleSet& train, const SampleSet& held_out, const Tokenizer& tokenizer, std::int64_t sequence_len,
            int threads);

}  // namespace shardlora
