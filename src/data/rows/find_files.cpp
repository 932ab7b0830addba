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
  std::sort(files.begin(), files.end());
  if (!files.empty()) return files;
  fail("{}: no file of rows in this folder (.jsonl, .json, .csv, .tsv, .txt){}{}", folder.string(),
       others.empty() ? "" : "; there are: " + others,
       others.find(".parquet") == std::string::npos
           ? ""
           : "; convert Parquet: python3 -c \"import pandas; pandas.read_parquet('FILE.parquet')"
             ".to_json('rows.jsonl', orient='records', lines=True)\"");
}

std::vector<fs::path> files_of(const std::string& path) {
  std::error_code none;
  if (is_pattern(path) && !fs::exists(path, none)) return files_fitting(path);
  if (fs::is_directory(path, none)) return files_in(path);
  return {path};
}

}  // namespace

std::vector<fs::path> find_row_files(const std::string& path, const std::vector<std::string>& data_files) {
  if (data_files.empty()) return files_of(path);
  std::error_code none;
  std::vector<fs::path> files;
  for (const std::string& name : data_files) {
    const std::string file = fs::is_directory(path, none) ? (fs::path(path) / name).string() : name;
    for (fs::path& found : files_of(file)) files.push_back(std::move(found));
  }
  return files;
}

}  // namespace shardlora
