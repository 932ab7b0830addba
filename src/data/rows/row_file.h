// Rows of one file, in order, one after the other and in bounded memory: cutting a file into rows is done here, by one
// thread; understanding a row (`parse`) can be shared by many. What kind of file it is follows from its name and its
// first bytes; a compressed or binary one is an Error that says how to make it readable.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace shardlora {

// A row as its bytes in the file.
struct RawRow {
  std::int64_t line = 0;  // from 1
  std::string text;
};

class RowFile {
 public:
  static constexpr std::size_t kMaxRow = std::size_t{64} << 20;

  virtual ~RowFile() = default;
  // False at the end of the file. A row over kMaxRow bytes is an Error, and so is a file whose rows can't be told
  // apart.
  virtual bool next(RawRow& row) = 0;
  // Throws RowError. May run in several threads, also while `next` does.
  virtual nlohmann::ordered_json parse(const RawRow& row) const = 0;
};

// .jsonl and .json: a JSON list of rows, or rows one after the other; .csv and .tsv with a header: every row an object
// of texts; .txt: one row {"text": the whole file}.
std::unique_ptr<RowFile> open_row_file(const std::filesystem::path& path);

// How to make rows of a Parquet file {0}. Not through pandas: it makes 3.0 of 3 where other rows lack the number.
inline constexpr std::string_view kParquetAdvice =
    "convert it: python3 -c \"import json, pyarrow.parquet as p; [print(json.dumps(r, default=str)) for b in "
    "p.ParquetFile('{0}').iter_batches() for r in b.to_pylist()]\" > rows.jsonl";

// The names that open_row_file takes: ".jsonl", ….
bool is_row_file(const std::filesystem::path& path);

}  // namespace shardlora
