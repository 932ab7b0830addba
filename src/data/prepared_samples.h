// Samples kept on disk, so that a dataset is tokenized once. A file's name is a hash of everything that its samples
// follow from: the bytes of the dataset's files, what the recipe says of them, tokenizer, chat template, options and
// the version of this code; so it is never stale. Its content is checked; a damaged file is made anew with a warning.
// Of processes that want the same samples at the same time one prepares them and the others wait for it, asleep.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "data/sample_set.h"

namespace shardlora {

class PreparedSamples {
 public:
  // `tokenizer`: what stands for tokenizer and chat template in the hash.
  PreparedSamples(std::filesystem::path folder, std::string tokenizer)
      : folder_(std::move(folder)), tokenizer_(std::move(tokenizer)) {}

  // Where these samples are kept.
  std::filesystem::path path_of(const DatasetSource& source, const SampleOptions& options) const;
  // What is kept, else what `make` makes, which then is kept. A folder that can't be written is a warning.
  Dataset get(const DatasetSource& source, const SampleOptions& options, const std::function<Dataset()>& make) const;

 private:
  std::filesystem::path folder_;
  std::string tokenizer_;
};

// The user's own folder for this, ${XDG_CACHE_HOME:-~/.cache}/shardlora/prepared; empty where there is no home.
std::filesystem::path default_prepared_folder();

}  // namespace shardlora
