#include "data/prepared_samples.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>

#include "base/file.h"
#include "base/file_lock.h"
#include "base/user_cache.h"
#include "data/record_tokenizer.h"
#include "data/rows/bad_rows.h"
#include "data/rows/find_files.h"
#include "io/json.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// Goes up whenever the same input gives other samples, or the file another layout.
constexpr const char* kVersion = "shardlora samples 4\n";
constexpr std::size_t kDigest = 64;
constexpr std::uintmax_t kFolderLimit = std::uintmax_t{16} << 30;

// Every member of these structs: one that is added breaks the build here.
Json words_of(const DatasetSource& source) {
  const auto& [path, data_files, type, rows, field, field_messages, message_field_role, message_field_content,
               field_system, field_tools, roles, roles_to_train, train_on_eos] = source;
  return {path,
          data_files,
          type,
          rows.split(),
          rows.at_most.value_or(-1),
          field,
          field_messages,
          message_field_role,
          message_field_content,
          field_system,
          field_tools,
          roles,
          roles_to_train ? Json(*roles_to_train) : Json(),
          train_on_eos ? static_cast<int>(*train_on_eos) : -1};
}
Json words_of(const SampleOptions& options) {
  const auto& [sequence_len, train_on, excess] = options;
  const auto& [inputs, roles, eos] = train_on;
  return {sequence_len, inputs, roles, static_cast<int>(eos), excess ? static_cast<int>(*excess) : -1};
}

template <typename T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

Json json_of(const DatasetSummary& s) {
  Json bad = Json::array();
  for (const BadRows::Reason& r : s.bad_rows) bad.push_back({r.source, r.line, r.reason});
  return {{"path", s.path},
          {"format", s.format},
          {"rows", s.rows},
          {"bad", s.bad},
          {"cut", s.cut},
          {"dropped", s.dropped},
          {"too_long", s.too_long},
          {"longest", s.longest},
          {"samples", s.samples},
          {"tokens", s.tokens},
          {"trained", s.trained},
          {"bad_rows", bad},
          {"asked_otherwise", {s.asked_otherwise.rows, s.asked_otherwise.first}},
          {"left_out", {s.left_out.rows, s.left_out.first}}};
}

DatasetSummary summary_of(const Json& j) {
  DatasetSummary s;
  s.path = j.at("path");
  s.format = j.at("format");
  s.rows = j.at("rows");
  s.bad = j.at("bad");
  s.cut = j.at("cut");
  s.dropped = j.at("dropped");
  s.too_long = j.at("too_long");
  s.longest = j.at("longest");
  s.samples = j.at("samples");
  s.tokens = j.at("tokens");
  s.trained = j.at("trained");
  s.asked_otherwise = {j.at("asked_otherwise").at(0), j.at("asked_otherwise").at(1)};
  s.left_out = {j.at("left_out").at(0), j.at("left_out").at(1)};
  for (const Json& bad : j.at("bad_rows")) s.bad_rows.push_back({bad.at(0), bad.at(1), bad.at(2)});
  return s;
}

// Layout: kVersion, length of the JSON, JSON (the summary, the files of the rows), then of all samples one after the
// other: number of tokens (u32), file (u32), line (i64), ends (u8), tokens (i32), trained (u8); SHA-256 of it all, in
// letters.
void write(const fs::path& path, const Dataset& dataset) {
  std::vector<std::uint32_t> lengths, files;
  std::vector<std::int64_t> lines;
  std::vector<std::uint8_t> ends;
  std::vector<std::span<const std::byte>> pieces;
  std::map<std::string_view, std::uint32_t> numbers;
  Json names = Json::array();
  for (const Sample& sample : dataset.samples) {
    const auto [entry, is_new] = numbers.emplace(sample.source, static_cast<std::uint32_t>(numbers.size()));
    if (is_new) names.push_back(sample.source);
    lengths.push_back(static_cast<std::uint32_t>(sample.tokens.size()));
    files.push_back(entry->second);
    lines.push_back(sample.line);
    ends.push_back(sample.ends ? 1 : 0);
  }
  const std::string json = Json{{"summary", json_of(dataset.summary)}, {"files", names}}.dump(
      -1, ' ', false, Json::error_handler_t::replace);
  const std::vector<std::uint64_t> length{json.size()};
  pieces.push_back(std::as_bytes(std::span(kVersion, std::strlen(kVersion))));
  for (const auto piece : {bytes_of(length), std::as_bytes(std::span(json)), bytes_of(lengths), bytes_of(files),
                           bytes_of(lines), bytes_of(ends)})
    pieces.push_back(piece);
  for (const Sample& sample : dataset.samples) pieces.push_back(bytes_of(sample.tokens));
  for (const Sample& sample : dataset.samples) pieces.push_back(bytes_of(sample.trained));
  Sha256 digest;
  for (const auto piece : pieces) digest.add(piece);
  const std::string hex = digest.hex();
  pieces.push_back(std::as_bytes(std::span(hex)));
  write_file_atomically(path, pieces);
}

// Takes values off the front.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : left_(bytes) {}
  std::string_view take(std::uint64_t count) {
    if (count > left_.size()) fail("it ends too early");
    const std::string_view part = left_.substr(0, static_cast<std::size_t>(count));
    left_.remove_prefix(part.size());
    return part;
  }
  template <typename T>
  std::vector<T> values(std::uint64_t count) {
    if (count > left_.size()) fail("it ends too early");
    std::vector<T> out(static_cast<std::size_t>(count));
    const std::string_view part = take(count * sizeof(T));
    if (!part.empty()) std::memcpy(out.data(), part.data(), part.size());
    return out;
  }

 private:
  std::string_view left_;
};

Dataset read(const fs::path& path) {
  const File file(path);
  std::string content(static_cast<std::size_t>(file.size()), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(content)));
  if (!content.starts_with(kVersion)) fail("it begins with something else");
  if (content.size() < kDigest) fail("it ends too early");
  const std::string_view all = std::string_view(content).substr(0, content.size() - kDigest);
  Sha256 digest;
  digest.add(all);
  if (digest.hex() != std::string_view(content).substr(all.size())) fail("its checksum is wrong");

  Cursor cursor(all);
  cursor.take(std::strlen(kVersion));
  const Json json = parse_json(cursor.take(cursor.values<std::uint64_t>(1)[0]), "summary");
  Dataset dataset;
  dataset.summary = summary_of(json.at("summary"));
  const auto names = json.at("files").get<std::vector<std::string>>();
  const auto count = static_cast<std::uint64_t>(dataset.summary.samples);
  const auto lengths = cursor.values<std::uint32_t>(count), files = cursor.values<std::uint32_t>(count);
  const auto lines = cursor.values<std::int64_t>(count);
  const auto ends = cursor.values<std::uint8_t>(count);
  dataset.samples.resize(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < dataset.samples.size(); ++i) {
    Sample& sample = dataset.samples[i];
    sample.tokens = cursor.values<std::int32_t>(lengths[i]);
    sample.source = names.at(files[i]);
    sample.line = lines[i];
    sample.ends = ends[i] != 0;
  }
  for (std::size_t i = 0; i < dataset.samples.size(); ++i)
    dataset.samples[i].trained = cursor.values<std::uint8_t>(lengths[i]);
  return dataset;
}

// What is kept, unless it is damaged.
std::optional<Dataset> read_if_good(const fs::path& path) {
  std::error_code none;
  if (!fs::exists(path, none)) return {};
  try {
    Dataset dataset = read(path);
    fs::last_write_time(path, fs::file_time_type::clock::now(), none);
    return dataset;
  } catch (const std::exception& error) {
    spdlog::warn("{}: these prepared samples are damaged ({}); they are made anew", path.string(), error.what());
    return {};
  }
}

// The files that were not used for the longest time go first.
void keep_to_limit(const fs::path& folder) {
  std::error_code none;
  // Read first, because another process may touch or remove a file while we sort.
  std::vector<std::tuple<fs::file_time_type, fs::path, std::uintmax_t>> files;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    if (entry.path().extension() != ".samples") continue;
    std::error_code no_time, no_size;
    const auto time = fs::last_write_time(entry.path(), no_time);
    const std::uintmax_t size = fs::file_size(entry.path(), no_size);
    if (!no_time && !no_size) files.emplace_back(time, entry.path(), size);
  }
  std::sort(files.rbegin(), files.rend());
  std::uintmax_t bytes = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto& [time, path, size] = files[i];
    bytes += size;
    if (i > 0 && bytes > kFolderLimit) fs::remove(path, none);
  }
}

}  // namespace

fs::path PreparedSamples::path_of(const DatasetSource& source, const SampleOptions& options) const {
  Json files = Json::array();
  for (const fs::path& file : find_row_files(source.path, source.data_files))
    files.push_back({file.string(), sha256_of_file(file)});
  Sha256 digest;
  digest.add(kVersion);
  digest.add(Json{tokenizer_, words_of(source), words_of(options), files}.dump(-1, ' ', false,
                                                                               Json::error_handler_t::replace));
  return folder_ / (digest.hex().substr(0, 32) + ".samples");
}

Dataset PreparedSamples::get(const DatasetSource& source, const SampleOptions& options,
                             const std::function<Dataset()>& make) const {
  const fs::path path = path_of(source, options);
  if (auto kept = read_if_good(path)) return std::move(*kept);
  std::error_code none;
  fs::create_directories(folder_, none);
  const FileLock lock(path.string() + ".lock");
  if (auto kept = read_if_good(path)) return std::move(*kept);  // made while we waited
  Dataset dataset = make();
  try {
    write(path, dataset);
    keep_to_limit(folder_);
  } catch (const Error& error) {
    spdlog::warn("the prepared samples can't be kept, so they are made again next time: {}", error.what());
  }
  fs::remove(path.string() + ".lock", none);
  return dataset;
}

fs::path default_prepared_folder() {
  const fs::path cache = user_cache();
  return cache.empty() ? cache : cache / "prepared";
}

}  // namespace shardlora
