// The user's own folder for what can be made again.
#pragma once

#include <filesystem>
#include <string>

namespace shardlora {

// ${XDG_CACHE_HOME:-~/.cache}/shardlora; empty where there is no home.
std::filesystem::path user_cache();

// SHA-256 of a file, in hexadecimal digits. What was read once is kept in the user's cache under the file's path, size,
// place on the disk and time of its last change, so that a model of 100 GB is read for its name once.
std::string known_sha256_of_file(const std::filesystem::path& path);

}  // namespace shardlora
