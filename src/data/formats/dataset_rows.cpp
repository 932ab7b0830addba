#include "data/formats/dataset_rows.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "data/formats/json_forms.h"
#include "data/rows/bad_rows.h"
#include "data/rows/find_files.h"

namespace shardlora {
namespace {

constexpr std::size_t kBatchBytes = std::size_t{4} << 20;
constexpr std::size_t kBatchRows = 4096;

std::int64_t count_rows(const std::vector<std::filesystem::path>& files) {
  std::int64_t rows = 0;
  for (const std::filesystem::path& path : files) {
    const std::unique_ptr<RowFile> file = open_row_file(path);
    for (RawRow raw; file->next(raw);) ++rows;
  }
  return rows;
}

}  // namespace

DatasetRows::DatasetRows(const DatasetSource& source)
    : source_(source), files_(find_row_files(source.path, source.data_files)) {
  constexpr std::int64_t kUncounted = std::numeric_limits<std::int64_t>::max();
  std::tie(first_, behind_) = source.rows.bounds(source.rows.needs_count() ? count_rows(files_) : kUncounted);
  if (first_ == behind_) fail("{}: {} holds no row", source.path, source.rows.split());
  if (!source.type.empty()) {
    format_ = find_record_format(source.type);
    CHECK(format_ != nullptr, "no format {}", source.type);
  } else {
    settle_format();
  }
}

// By the first row that can be parsed; the bad ones before it are told again when they are visited.
void DatasetRows::settle_format() {
  ahead_ = next_batch();
  for (const RawRow& raw : ahead_) {
    try {
      const Row first = row(raw);
      format_ = &recognise_record_format(first, source_);
      spdlog::info("{}: recognised as {} by the keys of its first row ({})", source_.path, format_->name,
                   keys_of(first.json));
      return;
    } catch (const RowError&) {
      continue;
    }
  }
  format_ = &record_formats().front();
}

std::vector<RawRow> DatasetRows::next_batch() {
  if (!ahead_.empty()) return std::exchange(ahead_, {});
  while (rows_before_ < behind_) {
    std::vector<RawRow> batch = read_batch();
    if (batch.empty()) {
      if (rows_before_ <= first_)
        fail("{}: {} begins behind the last of its {} rows", source_.path, source_.rows.split(), rows_before_);
      break;
    }
    const auto read = static_cast<std::int64_t>(batch.size());
    cut(batch);
    rows_before_ += read;
    if (!batch.empty()) return batch;
  }
  return {};
}

void DatasetRows::cut(std::vector<RawRow>& batch) {
  const auto size = static_cast<std::int64_t>(batch.size());
  const auto begin = std::clamp<std::int64_t>(first_ - rows_before_, 0, size);
  const auto end = std::clamp<std::int64_t>(behind_ - rows_before_, begin, size);
  batch.erase(batch.begin() + end, batch.end());
  batch.erase(batch.begin(), batch.begin() + begin);
}

std::vector<RawRow> DatasetRows::read_batch() {
  std::vector<RawRow> batch;
  while (batch.empty()) {
    if (!file_) {
      if (next_file_ == files_.size()) return batch;
      name_ = files_[next_file_].string();
      file_ = open_row_file(files_[next_file_++]);
      rows_in_file_ = 0;
    }
    std::size_t bytes = 0;
    for (RawRow raw; bytes < kBatchBytes && batch.size() < kBatchRows; batch.push_back(std::move(raw))) {
      if (!file_->next(raw)) break;
      bytes += raw.text.size();
    }
    rows_in_file_ += static_cast<std::int64_t>(batch.size());
    if (!batch.empty()) break;
    if (rows_in_file_ == 0) fail("{}: no rows in it", name_);
    file_.reset();
  }
  return batch;
}

Row DatasetRows::row(const RawRow& raw) const {
  Row row{name_, raw.line, file_->parse(raw)};
  remove_null_keys(row.json);
  return row;
}

Record DatasetRows::record(const Row& row) const {
  if (!row.json.is_object()) bad_row("not a JSON object; a row of {} is {}", format_->name, format_->example);
  return format_->read(row.json, source_);
}

}  // namespace shardlora
