#include "base/available_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace shardlora {
namespace {

namespace fs = std::filesystem;

// The first number of a file; nothing where there is none ("max").
std::optional<std::uint64_t> number_in(const fs::path& file) {
  std::ifstream in(file);
  std::uint64_t value = 0;
  return in >> value ? std::optional(value) : std::nullopt;
}

// The number behind `name` in a file of lines "name: 123 kB" or "name 123".
std::optional<std::uint64_t> line_of(const fs::path& file, const std::string& name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string word;
    std::uint64_t value = 0;
    if (words >> word >> value && word == name) return value;
  }
  return std::nullopt;
}

// Of a group with a limit: what it leaves, counting as free the cached files that the kernel drops first.
std::optional<std::uint64_t> left_in(const fs::path& group) {
  const auto limit = number_in(group / "memory.max"), used = number_in(group / "memory.current");
  if (!limit || !used) return std::nullopt;
  const std::uint64_t cached = line_of(group / "memory.stat", "inactive_file").value_or(0);
  const std::uint64_t held = *used - std::min(*used, cached);
  return *limit - std::min(*limit, held);
}

// "0::/user.slice/x" names the group of version 2 that the process is in.
std::string own_group(const fs::path& root) {
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("0::/")) return line.substr(4);
  return "";
}

}  // namespace

std::optional<std::uint64_t> available_memory(const fs::path& root) {
  std::optional<std::uint64_t> least;
  if (const auto kib = line_of(root / "proc/meminfo", "MemAvailable:")) least = *kib * 1024;
  const fs::path groups = root / "sys/fs/cgroup";
  for (fs::path group = own_group(root);; group = group.parent_path()) {
    if (const auto left = left_in(groups / group)) least = std::min(least.value_or(*left), *left);
    if (group.empty()) break;
  }
  return least;
}

}  // namespace shardlora
