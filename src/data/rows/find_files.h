// The files that a dataset's path means.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace shardlora {

// A file is itself; a folder is all its files that open_row_file takes, by name, folders in it left out; a pattern
// (rows-*.jsonl) is what it fits, by name. With `data_files` only these, which lie below `path` where that is a folder.
// An Error where nothing is found.
std::vector<std::filesystem::path> find_row_files(const std::string& path, const std::vector<std::string>& data_files);

}  // namespace shardlora
