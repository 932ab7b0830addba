#include "data/rows/row_file.h"

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"
#include "data/rows/csv_rows.h"
#include "data/rows/json_rows.h"
#include "data/rows/text_rows.h"

namespace shardlora {
namespace {

using namespace std::string_view_literals;

// First bytes of files that hold rows in a form that can't be read here.
struct Binary {
  std::string_view magic, name, advice;
};
constexpr std::array kBinaries{
    Binary{"\x1F\x8B"sv, "gzip", "unpack it: gunzip {0}"},
    Binary{"PK\x03\x04"sv, "zip", "unpack it: unzip {0}"},
    Binary{"\x28\xB5\x2F\xFD"sv, "zstd", "unpack it: unzstd {0}"},
    Binary{"\xFD\x37\x7A\x58\x5A"sv, "xz", "unpack it: unxz {0}"},
    Binary{"BZh"sv, "bzip2", "unpack it: bunzip2 {0}"},
    Binary{"PAR1"sv, "Parquet", kParquetAdvice},
    Binary{"ARROW1"sv, "Arrow",
           "convert it: python3 -c \"import json, pyarrow.feather as f; [print(json.dumps(r, default=str)) for r in "
           "f.read_table('{0}').to_pylist()]\" > rows.jsonl"},
    Binary{"\xFF\xFF\xFF\xFF"sv, "Arrow stream",
           "convert it: python3 -c \"import json, pyarrow as a; [print(json.dumps(r, default=str)) for r in "
           "a.ipc.open_stream('{0}').read_all().to_pylist()]\" > rows.jsonl"},
    Binary{"\xFF\xFE"sv, "UTF-16", "convert it: iconv -f UTF-16 -t UTF-8 {0} > rows.jsonl"},
    Binary{"\xFE\xFF"sv, "UTF-16", "convert it: iconv -f UTF-16 -t UTF-8 {0} > rows.jsonl"},
    Binary{"GGUF"sv, "GGUF", "that is a model, not a dataset"},
};

std::string first_bytes(const std::filesystem::path& path) {
  const File file(path);
  std::string bytes(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), 4096)), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

char first_letter(std::string_view bytes) {
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  const std::size_t at = bytes.find_first_not_of(" \t\r\n");
  return at == std::string_view::npos ? '\0' : bytes[at];
}

// Whether the first line is an object of its own, rather than the beginning of one that goes on below.
bool object_a_line(const std::filesystem::path& path) {
  JsonLines lines(path);
  RawRow row;
  if (!lines.next(row)) return true;
  return nlohmann::json::accept(row.text);
}

}  // namespace

bool is_row_file(const std::filesystem::path& path) {
  const std::string kind = path.extension().string();
  return kind == ".jsonl" || kind == ".json" || kind == ".ndjson" || kind == ".csv" || kind == ".tsv" || kind == ".txt";
}

std::unique_ptr<RowFile> open_row_file(const std::filesystem::path& path) {
  const std::string bytes = first_bytes(path), kind = path.extension().string();
  for (const Binary& binary : kBinaries) {
    if (bytes.starts_with(binary.magic))
      fail("{}: this is a {} file; {}", path.string(), binary.name,
           fmt::format(fmt::runtime(binary.advice), path.string()));
  }
  if (kind == ".csv" || kind == ".tsv") return std::make_unique<CsvRows>(path, kind == ".tsv" ? '\t' : ',');
  if (kind == ".txt") return std::make_unique<TextRows>(path);
  if (!is_row_file(path) && first_letter(bytes) != '{' && first_letter(bytes) != '[')
    fail("{}: unknown kind of file; rows come as .jsonl, .json, .csv, .tsv or .txt", path.string());
  if (first_letter(bytes) == '[' || (kind == ".json" && !object_a_line(path)))
    return std::make_unique<JsonValues>(path);
  return std::make_unique<JsonLines>(path);
}

}  // namespace shardlora
