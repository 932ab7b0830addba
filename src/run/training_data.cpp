#include "run/training_data.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "batch/order.h"
#include "checkpoint/hub_cache.h"
#include "data/prepared_samples.h"
#include "data/record_tokenizer.h"
#include "data/rows/bad_rows.h"
#include "data/rows/find_files.h"
#include "io/gguf.h"

namespace shardlora {

namespace {

namespace fs = std::filesystem;

// A model that has no chat template, or one that is not understood, stops a run only where a dataset has conversations.
struct RecipeTokenizer {
  RecipeTokenizer(const Tokenizer& tokenizer, const TemplateChoice& choice) : records(tokenizer, "no chat template") {
    try {
      chat.emplace(chat_template_of(tokenizer, choice));
      maker.emplace(tokenizer, *chat);
      records = RecordTokenizer(tokenizer, *maker);
    } catch (const Error& error) {
      if (!choice.is_models_own()) throw;
      chat.reset();
      records = RecordTokenizer(tokenizer, error.what());
    }
  }
  std::optional<ChatTemplate> chat;
  std::optional<SampleMaker> maker;
  RecordTokenizer records;
};

// Everything that a model's tokenizer follows from: the head of a GGUF file, the small files of a folder.
std::string tokenizer_digest(const fs::path& model) {
  Sha256 digest;
  if (!fs::is_directory(model)) {
    const GgufFile gguf(model);
    const File file(model);
    std::uint64_t head = file.size();
    for (const GgufTensor& tensor : gguf.tensors()) head = std::min(head, tensor.offset);
    std::vector<std::byte> bytes(static_cast<std::size_t>(head));
    file.read_at(0, bytes);
    digest.add(bytes);
    return digest.hex();
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(model)) {
    const std::string kind = entry.path().extension().string();
    if (entry.is_regular_file() && (kind == ".json" || kind == ".jinja" || kind == ".model" || kind == ".txt" ||
                                    entry.path().filename() == kGgufMetadata))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) digest.add(file.filename().string() + " " + sha256_of_file(file) + "\n");
  return digest.hex();
}

std::uintmax_t bytes_of(const DatasetSource& source) {
  std::uintmax_t bytes = 0;
  std::error_code none;
  for (const fs::path& file : find_row_files(source.path, source.data_files)) {
    const std::uintmax_t size = fs::file_size(file, none);
    if (!none) bytes += size;
  }
  return bytes;
}

// Loads a recipe's datasets one by one, each from where it was prepared if it was.
class Loader {
 public:
  Loader(const Recipe& recipe, const Tokenizer& tokenizer)
      : recipe_(recipe),
        with_(tokenizer, recipe.chat_template),
        options_{recipe.sequence_len, {.inputs = recipe.train_on_inputs}, recipe.excess_length_strategy} {}

  SampleSet load(const std::vector<DatasetSource>& sources) {
    std::vector<Dataset> datasets;
    BadRows bad;
    for (const DatasetSource& source : sources) {
      datasets.push_back(load_one(source, bad));
      if (datasets.back().summary.format == "chat_template") warn_of_template();
      tell_notes(datasets.back().summary);
    }
    return join(std::move(datasets), options_);
  }

 private:
  Dataset load_one(const DatasetSource& source, BadRows& bad) {
    const std::uintmax_t bytes = bytes_of(source);
    bool fresh = false;
    const auto make = [&] {
      fresh = true;
      const auto start = std::chrono::steady_clock::now();
      const int threads = available_processors();
      Dataset dataset = load_dataset(source, with_.records, options_, bad, threads);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      const double megabytes = static_cast<double>(bytes) / 1e6;
      if (seconds > 0.5)
        spdlog::info("{}: {:.1f} MB tokenized in {:.1f} s ({:.1f} MB/s, {} thread{})", source.path, megabytes, seconds,
                     megabytes / seconds, threads, threads == 1 ? "" : "s");
      return dataset;
    };
    const PreparedSamples* const prepared = prepared_for(bytes);
    if (prepared == nullptr) return make();
    Dataset dataset = prepared->get(source, options_, make);
    if (fresh) return dataset;
    spdlog::info("{}: samples read from {}", source.path, prepared->path_of(source, options_).string());
    bad.count_read(dataset.summary.rows);
    for (const BadRows::Reason& row : dataset.summary.bad_rows) bad.add(row.source, row.line, row.reason);
    return dataset;
  }

  // Once, and not where no row goes through the template.
  void warn_of_template() {
    if (!with_.maker || std::exchange(warned_, true)) return;
    for (const std::string& warning : with_.maker->template_warnings(options_.train_on)) spdlog::warn("{}", warning);
  }

  static void tell_notes(const DatasetSummary& s) {
    if (s.asked_otherwise.rows > 0)
      spdlog::warn(
          "{}: with this chat template a question is asked in another way than it is trained in {} of {} rows (first "
          "{}); look at preview --ids",
          s.path, s.asked_otherwise.rows, s.rows, s.asked_otherwise.first);
    if (s.left_out.rows > 0)
      spdlog::warn("{}: the chat template leaves out something of {} of {} rows (first {})", s.path, s.left_out.rows,
                   s.rows, s.left_out.first);
  }

  // Unless the recipe names a folder, only what is worth it is kept.
  const PreparedSamples* prepared_for(std::uintmax_t bytes) {
    constexpr std::uintmax_t kWorthKeeping = 8 << 20;
    const std::optional<std::string>& named = recipe_.dataset_prepared_path;
    const fs::path folder = named ? fs::path(*named) : default_prepared_folder();
    if (folder.empty() || (!named && bytes < kWorthKeeping)) return nullptr;
    if (!prepared_)
      prepared_.emplace(folder,
                        tokenizer_digest(find_model(recipe_.base_model)) + (with_.chat ? with_.chat->source() : ""));
    return &*prepared_;
  }

  const Recipe& recipe_;
  RecipeTokenizer with_;
  SampleOptions options_;
  std::optional<PreparedSamples> prepared_;
  bool warned_ = false;
};

void count_repeats(SampleSet& set, bool remove) {
  const std::vector<std::uint8_t> repeats = repeats_of(set.samples);
  set.repeats = std::count(repeats.begin(), repeats.end(), 1);
  set.repeats_removed = remove;
  if (!remove) return;
  std::vector<Sample> kept;
  for (std::size_t i = 0; i < repeats.size(); ++i)
    if (repeats[i] == 0) kept.push_back(std::move(set.samples[i]));
  set.samples = std::move(kept);
}

}  // namespace

TrainingData load_training_data(const Recipe& recipe, const Tokenizer& tokenizer) {
  Loader loader(recipe, tokenizer);
  TrainingData data;
  data.train = loader.load(recipe.datasets);
  count_repeats(data.train, recipe.dataset_exact_deduplication);
  if (!recipe.test_datasets.empty()) {
    data.held_out = loader.load(recipe.test_datasets);
    return data;
  }
  const Split split = split_rows(data.train.samples.size(), recipe.val_set_size, recipe.seed);
  std::vector<Sample> kept;
  for (const std::uint64_t i : split.validation) data.held_out.samples.push_back(std::move(data.train.samples[i]));
  for (const std::uint64_t i : split.train) kept.push_back(std::move(data.train.samples[i]));
  data.train.samples = std::move(kept);
  return data;
}

Audit audit_of(const TrainingData& data, const Recipe& recipe, const Tokenizer& tokenizer) {
  return audit(data.train, data.held_out, tokenizer, recipe.sequence_len, available_processors());
}

std::vector<Prompt> load_test_prompts(const Recipe& recipe, const Tokenizer& tokenizer) {
  const RecipeTokenizer with(tokenizer, recipe.chat_template);
  return load_prompts(recipe.test_datasets, with.records);
}

std::vector<std::int32_t> ends_of_answers(const Recipe& recipe, const Tokenizer& tokenizer) {
  const RecipeTokenizer with(tokenizer, recipe.chat_template);
  return with.maker ? with.maker->ends() : tokenizer.ends();
}

}  // namespace shardlora
