// The files that a dataset's path means.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace shardlora {

// A file is itself; a folder is all its files that open_row_file takes, by name, folders in it left out; a pattern
// (rows-*.jsonl) is what it fits, by name. A folder's texts are left out where it has rows of another kind; one that
// holds files to train on and others to measure with (test*, val*, dev*, eval*) is an Error. With `data_files` only
// these, which lie below `path` where that is a folder; else it is ".", "json", "csv" or "text".
// An Error where nothing is found.
std::vector<std::filesystem::path> find_row_files(const std::string& path, const std::vector<std::string>& data_files);

}  // namespace shardlora
