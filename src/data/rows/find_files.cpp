#include "data/rows/find_files.h"

#include <glob.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "data/rows/row_file.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

// What tools lay beside a dataset's files.
constexpr std::array kNoRows{"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"};
// How the names of files begin that are there to measure with, not to train on.
constexpr std::array kHeldOut{"test", "val", "dev", "eval"};
// A recipe that gives data_files has one of these as its path where the files are not in a folder of their own.
constexpr std::array kNoFolder{".", "json", "csv", "text"};

bool is_held_out(const fs::path& file) {
  const std::string stem = file.stem().string();
  return std::any_of(kHeldOut.begin(), kHeldOut.end(), [&](const char* word) { return stem.starts_with(word); });
}

bool is_text(const fs::path& file) { return file.extension() == ".txt"; }

bool is_pattern(const std::string& path) { return path.find_first_of("*?[") != std::string::npos; }

std::vector<fs::path> files_fitting(const std::string& pattern) {
  glob_t found{};
  const int rc = ::glob(pattern.c_str(), GLOB_TILDE, nullptr, &found);
  std::vector<fs::path> files;
  for (std::size_t i = 0; rc == 0 && i < found.gl_pathc; ++i) {
    if (!fs::is_directory(found.gl_pathv[i])) files.emplace_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
  if (files.empty()) fail("{}: no file fits this pattern", pattern);
  return files;
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::string others;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool known = std::find(kNoRows.begin(), kNoRows.end(), name) != kNoRows.end();
    if (name.starts_with('.') || known || entry.is_directory()) continue;
    if (is_row_file(entry.path()))
      files.push_back(entry.path());
    else if (others.size() < 200)
      others += (others.empty() ? "" : ", ") + name;
  }
  // Beside rows of another kind a text is what tells about them: a README or a licence.
  if (!std::all_of(files.begin(), files.end(), is_text)) std::erase_if(files, is_text);
  std::sort(files.begin(), files.end());
  if (!files.empty()) return files;
  fail("{}: no file of rows in this folder (.jsonl, .json, .csv, .tsv, .txt){}{}", folder.string(),
       others.empty() ? "" : "; there are: " + others,
       others.find(".parquet") == std::string::npos
           ? ""
           : "; Parquet: " + fmt::format(fmt::runtime(kParquetAdvice), "FILE.parquet"));
}

std::vector<fs::path> files_of(const std::string& path) {
  std::error_code none;
  if (is_pattern(path) && !fs::exists(path, none)) return files_fitting(path);
  if (fs::is_directory(path, none)) return files_in(path);
  return {path};
}

}  // namespace

std::vector<fs::path> find_row_files(const std::string& path, const std::vector<std::string>& data_files) {
  std::error_code none;
  const bool folder = fs::is_directory(path, none);
  std::vector<fs::path> files;
  if (data_files.empty()) {
    files = files_of(path);
    const auto held_out = std::find_if(files.begin(), files.end(), is_held_out);
    if (folder && held_out != files.end() && !std::all_of(files.begin(), files.end(), is_held_out))
      fail("{} holds {} beside others; name the files to train on in data_files", path, held_out->filename().string());
    return files;
  }
  if (!folder && std::find(kNoFolder.begin(), kNoFolder.end(), path) == kNoFolder.end())
    fail("{}: no such folder", path);
  for (const std::string& name : data_files) {
    const std::string file = folder ? (fs::path(path) / name).string() : name;
    for (fs::path& found : files_of(file)) files.push_back(std::move(found));
  }
  return files;
}

}  // namespace shardlora
