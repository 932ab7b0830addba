// The rows of one dataset, file after file, in batches that several threads can work on.
#pragma once

#include <memory>

#include "data/formats/record_format.h"
#include "data/rows/row_file.h"

namespace shardlora {

class DatasetRows {
 public:
  // Finds the files, opens the first one and settles the format, which the log names where the recipe did not.
  explicit DatasetRows(const DatasetSource& source);

  // Some megabytes of rows, all of one file, only those of the source's slice; empty at the end of the dataset. A file
  // without rows is an Error.
  std::vector<RawRow> next_batch();
  // A row of the last batch, without the keys that are null. Throws RowError. May run in several threads.
  Row row(const RawRow& raw) const;
  Record record(const Row& row) const;
  const std::string& file() const { return name_; }
  std::string format() const { return std::string(format_->name); }

 private:
  void settle_format();
  std::vector<RawRow> read_batch();
  // Leaves those of the batch that the source asks for.
  void cut(std::vector<RawRow>& batch);
  const DatasetSource& source_;
  std::vector<std::filesystem::path> files_;
  std::size_t next_file_ = 0;
  std::unique_ptr<RowFile> file_;
  std::string name_;                                 // of that file
  std::int64_t rows_in_file_ = 0, rows_before_ = 0;  // the second: of the data set, read before the last batch
  std::int64_t first_ = 0, behind_ = 0;              // of the source's slice
  std::vector<RawRow> ahead_;                        // read to settle the format
  const RecordFormat* format_ = nullptr;
};

}  // namespace shardlora
